-- Counts one login attempt before it is evaluated.
--
-- KEYS[1]  attempts on this account from anywhere new        KEYS[2]  attempts on it from this address, once known
-- KEYS[3]  exists if a login of this account from this address succeeded lately
-- KEYS[4]  exists if somebody was told in this window that the limit was reached
-- ARGV[1]  limit    ARGV[2]  window, seconds    ARGV[3]  "admit" | "give back"    ARGV[4]  how long an address is known
--
-- Returns {0, 0} when admitted, else the seconds until the window ends, and 1 for the first that was refused. A person's
-- known addresses have an allowance of their own, so a stranger who spends the account's does not lock its owner out.

local counter = KEYS[1]
if redis.call('EXISTS', KEYS[3]) == 1 then
  counter = KEYS[2]
end
if ARGV[3] == 'give back' then
  if tonumber(redis.call('GET', counter) or '0') > 0 then
    redis.call('DECR', counter)
  end
  if ARGV[4] ~= '0' then
    redis.call('SET', KEYS[3], '1', 'EX', ARGV[4])
  end
  return {0, 0}
end
local attempts = tonumber(redis.call('GET', counter) or '0')
if attempts >= tonumber(ARGV[1]) then
  local wait = math.max(redis.call('TTL', counter), 1)
  return {wait, redis.call('SET', KEYS[4], '1', 'NX', 'EX', wait) and 1 or 0}
end
redis.call('INCR', counter)
if attempts == 0 then
  redis.call('EXPIRE', counter, ARGV[2])
end
return {0, 0}
