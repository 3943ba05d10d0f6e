-- Which server processes live, and how long each has published each key; on Redis's own clock.
--
-- KEYS[1]  all processes, by the time they were last heard of      KEYS[2]  the keys of the calling process
-- ARGV[1]  "report" | "leave" | "list"     ARGV[2]  milliseconds after which silence means death
-- ARGV[3]  name of the calling process     ARGV[4..]  kids it publishes now

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))

if ARGV[1] == 'leave' then
  redis.call('ZREM', KEYS[1], ARGV[3])
  redis.call('DEL', KEYS[2])
  return {}
end

if ARGV[1] == 'report' then
  local published = {}
  for i = 4, #ARGV do
    published[ARGV[i]] = true
    redis.call('HSETNX', KEYS[2], ARGV[i], now)
  end
  for _, kid in ipairs(redis.call('HKEYS', KEYS[2])) do
    if not published[kid] then
      redis.call('HDEL', KEYS[2], kid)
    end
  end
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  return {}
end

local found = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local kids = redis.call('HGETALL', KEYS[1] .. ':' .. name)
  for i = 1, #kids, 2 do
    found[#found + 1] = {name, kids[i], now - tonumber(kids[i + 1])}
  end
end
return found
