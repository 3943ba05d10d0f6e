-- One step of an authorization code, atomically with the beginning of the session it stands for: there is no session of a
-- code that can still be used, and none begins after the one that a code gave was ended.
--
-- KEYS[1]  the code
-- KEYS[2]  the family, if the client gets a refresh token
-- ARGV[1]  "redeem" | "wrong" (somebody had it, and not the verifier)
-- ARGV[2]  who redeems it: the same attempt, sent again because its answer was lost, gets the same answer
-- ARGV[3]  how long a used code is remembered, milliseconds
-- ARGV[4]  how many wrong verifiers end it
-- ARGV[5]  the record of the family
-- ARGV[6]  when the family ends if nobody refreshes it, milliseconds since 1970
--
-- The record: what was done with it, how many verifiers were wrong, who redeemed it, the rest.

local record = redis.call('GET', KEYS[1])
if not record then
  return 'unknown'
end
local state, wrong, attempt, rest = string.match(record, '^(%a) (%d+) ([%w_-]*) (.*)$')
if state == 'U' then
  return attempt == ARGV[2] and ARGV[1] == 'redeem' and 'redeemed' or 'used'
end
if ARGV[1] == 'redeem' then
  redis.call('SET', KEYS[1], string.format('U %s %s %s', wrong, ARGV[2], rest), 'PX', ARGV[3])
  if KEYS[2] then
    redis.call('SET', KEYS[2], ARGV[5], 'PXAT', ARGV[6])
  end
  return 'redeemed'
end
if wrong + 1 >= tonumber(ARGV[4]) then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('N %d  %s', wrong + 1, rest), 'KEEPTTL')
end
return 'unknown'
