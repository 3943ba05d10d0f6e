-- One step of a refresh token family, atomically and on Redis's own clock.
--
-- KEYS[1]  the family
-- KEYS[2]  where the head of the revocation feed stands, if the step is only right under a certain one
-- ARGV[1]  the generation that was presented
-- ARGV[2]  retry window, milliseconds
-- ARGV[3]  idle lifetime, milliseconds
-- ARGV[4]  "rotate" | "keep" | "forward" (past a generation that Redis never saw become current)
-- ARGV[5]  the key that signs the access token which goes with it
-- ARGV[6]  the epoch of that head
-- ARGV[7]  its number
--
-- The record is one string: generation, time it became current, time the one before did, state, absolute end, the key of
-- the last access token, the grant (JSON).
-- Its size never changes with its age, and a replay is known without a tombstone for every token that was ever used.

if KEYS[2] then
  local head = redis.call('HMGET', KEYS[2], 'epoch', 'seq')
  if head[1] ~= ARGV[6] or head[2] ~= ARGV[7] then
    return 'behind'
  end
end

local record = redis.call('GET', KEYS[1])
if not record then
  return 'unknown'
end
-- A family of an earlier version names no key.
local current, since, before, state, ends, kid, grant =
  string.match(record, '^(%d+) (%d+) (%d+) (%a) (%d+) ([%w_-]*) ?(%[.*)$')
current, since, before = tonumber(current), tonumber(since), tonumber(before)
if state == 'R' then
  return 'replayed'
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local presented, window = tonumber(ARGV[1]), tonumber(ARGV[2])

local function store(generation, became, previous, mark)
  kid = mark == 'R' and kid or ARGV[5]
  local until_ = math.min(now + tonumber(ARGV[3]), tonumber(ends) * 1000)
  local packed = string.format('%d %d %d %s %s %s %s', generation, became, previous, mark, ends, kid, grant)
  if mark == 'R' then
    redis.call('SET', KEYS[1], packed, 'KEEPTTL')
  elseif until_ <= now then
    redis.call('DEL', KEYS[1])
    return 'unknown'
  else
    redis.call('SET', KEYS[1], packed, 'PXAT', string.format('%d', until_))
  end
end

if ARGV[4] == 'forward' and presented > current then
  return store(presented + 1, now, now, 'A') or 'advanced'
end
if presented > current then
  return 'ahead'
end
if presented == current then
  if ARGV[4] == 'keep' then
    return store(current, since, before, 'A') or 'advanced'
  end
  return store(current + 1, now, since, 'A') or 'advanced'
end
if presented == current - 1 and window > 0 and now - since <= window then
  return store(current, since, before, 'A') or 'repeated'
end
if presented == current - 2 and window > 0 and now - before <= window then
  return 'late'
end
store(current, since, before, 'R')
return 'replayed'
