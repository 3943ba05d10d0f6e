-- Appends rules to the stream, if it stands where the caller believes; or begins a new epoch.
--
-- KEYS[1]  the head: a hash of epoch and seq          KEYS[2]  the stream          KEYS[3..]  families that end
-- ARGV[1]  epoch   ARGV[2]  expected seq   ARGV[3]  new seq   ARGV[4]  length at which the stream is trimmed
-- ARGV[5..] for each rule: seq, kind, digest, ends, expires_at
--
-- Families end whatever becomes of the rest: SQL has ended them.
-- Returns 1 when the stream stands at the new seq or beyond, 0 when it does not stand at the expected one.

for i = 3, #KEYS do
  redis.call('DEL', KEYS[i])
end
local head = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if ARGV[2] == 'reset' then
  if head[1] ~= ARGV[1] then
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', '0')
  end
  return 1
end
if head[1] ~= ARGV[1] then
  return 0
end
local seq = tonumber(head[2])
if seq >= tonumber(ARGV[3]) then
  return 1
end
if seq ~= tonumber(ARGV[2]) then
  return 0
end
for i = 5, #ARGV, 5 do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], ARGV[i] .. '-0',
    'kind', ARGV[i + 1], 'digest', ARGV[i + 2], 'ends', ARGV[i + 3], 'expires_at', ARGV[i + 4])
end
redis.call('HSET', KEYS[1], 'seq', ARGV[3])
return 1
