-- ARGV: id, attempt, who claimed, lease (ms), then for progress: done, failed, total.
local id, t = ARGV[1], now()
local key = record(id)
local status = status_for(id, ARGV[2], ARGV[3])
if status == 'cancelling' then return 'cancelled' end
if status ~= 'running' then return 'lost' end
redis.call('ZADD', 'mp:leases', ms(t + tonumber(ARGV[4])), id)
if ARGV[5] then
  redis.call('HSET', key, 'done', ARGV[5], 'failed', ARGV[6], 'total', ARGV[7])
  event(id, 'progress', cjson.encode({
    done = tonumber(ARGV[5]), failed = tonumber(ARGV[6]), total = tonumber(ARGV[7]) }))
end
return 'ok'
