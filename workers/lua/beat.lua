-- ARGV: id, attempt, who claimed, then for progress: done, failed, total, whether what is done outlives the worker.
local id, t = ARGV[1], now()
local key = record(id)
local status = status_for(id, ARGV[2], ARGV[3])
if status == 'cancelling' then
  last_lease(id, t)
  return 'cancelled'
end
if status ~= 'running' then return 'lost' end
local lease, kept = unpack(redis.call('HMGET', key, 'lease', 'kept'))
redis.call('ZADD', 'mp:leases', ms(t + tonumber(lease)), id)
if ARGV[4] then
  redis.call('HSET', key, 'done', ARGV[4], 'failed', ARGV[5], 'total', ARGV[6])
  if redis.call('HGET', key, 'kind') ~= 'chunk' then
    event(id, 'progress', cjson.encode({
      done = tonumber(ARGV[4]), failed = tonumber(ARGV[5]), total = tonumber(ARGV[6]) }))
  end
  -- A job that gets on from where its lost worker was is no poison.
  if ARGV[7] == '1' and tonumber(ARGV[4]) > tonumber(kept or 0) then
    redis.call('HSET', key, 'kept', ARGV[4], 'lost', '0')
  end
end
return 'ok'
