#!lua flags=allow-oom
-- ARGV: worker, model, how long replies wait (ms), then item, reply, item, reply, …
-- Only who still holds an entry may answer it.
local worker, model = ARGV[1], ARGV[2]
local answered = 0
for place = 4, #ARGV, 2 do
  local item = ARGV[place]
  if redis.call('SREM', 'mp:held:' .. worker, model .. '|' .. item) == 1 then
    local owner, seq = string.match(item, '^([^|]+)|(%d+)|')
    redis.call('DEL', 'mp:entry:' .. owner .. '|' .. seq)
    redis.call('RPUSH', 'mp:reply:' .. owner, seq .. '|' .. ARGV[place + 1])
    redis.call('PEXPIRE', 'mp:reply:' .. owner, ARGV[3])
    answered = answered + 1
  end
end
return answered
