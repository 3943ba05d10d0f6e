-- Which server processes live, and how long each has published each key; on Redis's own clock.
--
-- KEYS[1]  all processes, by the time they were last heard of      KEYS[2]  the keys of the calling process
-- KEYS[3]  the keys that are withdrawn, for ever
-- ARGV[1]  "report" | "leave" | "list"     ARGV[2]  milliseconds after which silence means death
-- ARGV[3]  name of the calling process     ARGV[4]  how many kids it publishes now     ARGV[5..]  these, then the withdrawn

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))

if ARGV[1] == 'leave' then
  redis.call('ZREM', KEYS[1], ARGV[3])
  redis.call('DEL', KEYS[2])
  return {}
end

local published = {}

if ARGV[1] == 'report' then
  local last = 4 + tonumber(ARGV[4])
  for i = 5, last do
    published[ARGV[i]] = true
    redis.call('HSETNX', KEYS[2], ARGV[i], now)
  end
  for i = last + 1, #ARGV do
    redis.call('SADD', KEYS[3], ARGV[i])
  end
  for _, kid in ipairs(redis.call('HKEYS', KEYS[2])) do
    if not published[kid] then
      redis.call('HDEL', KEYS[2], kid)
    end
  end
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  redis.call('ZADD', KEYS[1], now, ARGV[3])
end

-- All that is published; for a process that reports, only what it does not publish itself.
local found = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local kids = redis.call('HGETALL', KEYS[1] .. ':' .. name)
  for i = 1, #kids, 2 do
    if not published[kids[i]] then
      found[#found + 1] = {name, kids[i], now - tonumber(kids[i + 1])}
    end
  end
end
return found
