-- ARGV: id, attempt, who claimed, how much was told before, how much is told now, then kind, data, kind, data, …
-- The events of a run, each once, whoever has told those before.
local id = ARGV[1]
local status = status_for(id, ARGV[2], ARGV[3])
if status ~= 'running' and status ~= 'cancelling' then return 'lost' end
-- A broker that lost its last second has been told less than the worker knows.
if tonumber(redis.call('HGET', record(id), 'told') or 0) <= tonumber(ARGV[4]) then
  redis.call('HSET', record(id), 'told', ARGV[5])
  for place = 6, #ARGV, 2 do event(id, ARGV[place], ARGV[place + 1]) end
end
return status == 'running' and 'ok' or 'cancelled'
