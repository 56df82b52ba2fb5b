-- ARGV: id, attempt, lease (ms), then for progress: done, failed, total.
local id, t = ARGV[1], now()
local key = record(id)
local status, attempt = unpack(redis.call('HMGET', key, 'status', 'attempt'))
if attempt ~= ARGV[2] then return 'lost' end
if status == 'cancelling' then return 'cancelled' end
if status ~= 'running' then return 'lost' end
redis.call('ZADD', 'mp:leases', ms(t + tonumber(ARGV[3])), id)
if ARGV[4] then
  redis.call('HSET', key, 'done', ARGV[4], 'failed', ARGV[5], 'total', ARGV[6])
  event(id, 'progress', cjson.encode({
    done = tonumber(ARGV[4]), failed = tonumber(ARGV[5]), total = tonumber(ARGV[6]) }))
end
return 'ok'
