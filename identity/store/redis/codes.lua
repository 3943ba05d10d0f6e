-- One step of an authorization code, atomically.
--
-- KEYS[1]  the code
-- ARGV[1]  "redeem" | "wrong" (somebody had it, and not the verifier)
-- ARGV[2]  who redeems it: the same attempt, sent again because its answer was lost, gets the same answer
-- ARGV[3]  how long a used code is remembered, milliseconds
-- ARGV[4]  how many wrong verifiers end it
--
-- The record: what was done with it, how many verifiers were wrong, who redeemed it, what it stands for (JSON).

local record = redis.call('GET', KEYS[1])
if not record then
  return 'unknown'
end
local state, wrong, attempt, grant = string.match(record, '^(%a) (%d+) ([%w_-]*) ({.*)$')
if state == 'U' then
  return attempt == ARGV[2] and ARGV[1] == 'redeem' and 'redeemed' or 'used'
end
if ARGV[1] == 'redeem' then
  redis.call('SET', KEYS[1], string.format('U %s %s %s', wrong, ARGV[2], grant), 'PX', ARGV[3])
  return 'redeemed'
end
if wrong + 1 >= tonumber(ARGV[4]) then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('N %d  %s', wrong + 1, grant), 'KEEPTTL')
end
return 'unknown'
