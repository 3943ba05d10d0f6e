-- Which verifiers live, and what each said with its last poll; on Redis's own clock.
--
-- KEYS[1]  all verifiers, by the time they were last heard of      KEYS[2]  what they said, by name
-- ARGV[1]  "report" | "list"       ARGV[2]  milliseconds after which silence means death
-- ARGV[3]  how many are kept       ARGV[4]  name       ARGV[5]  what it says       ARGV[6]  its number, 0 without one
--
-- A report beyond the limit is dropped: whoever invents instances takes no place of those that are known. One that a later
-- report of the same verifier overtook, on its way through another server, only says that the verifier lives. A version
-- before this one noted no number.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
end

if ARGV[1] == 'report' then
  if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) and not redis.call('ZSCORE', KEYS[1], ARGV[4]) then
    return {}
  end
  redis.call('ZADD', KEYS[1], now, ARGV[4])
  local said = redis.call('HGET', KEYS[2], ARGV[4])
  local turn = tonumber(ARGV[6])
  if not said or turn == 0 or turn >= tonumber(string.match(said, '^%d+') or 0) then
    redis.call('HSET', KEYS[2], ARGV[4], ARGV[6] .. ' ' .. ARGV[5])
  end
  return {}
end

local found = {}
local heard = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #heard, 2 do
  local said = redis.call('HGET', KEYS[2], heard[i])
  found[#found + 1] = {heard[i], string.match(said, '^%d+ (.*)') or said, now - tonumber(heard[i + 1])}
end
return found
