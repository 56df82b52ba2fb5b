#!lua flags=allow-oom
-- ARGV: id. Only an ended job goes, and none that another one does again; its files are the caller's to remove.
local id = ARGV[1]
local status, later = unpack(redis.call('HMGET', record(id), 'status', 'retried_by'))
if not status or not ENDED[status] then return 0 end
while later do
  status, later = unpack(redis.call('HMGET', record(later), 'status', 'retried_by'))
  if status and not ENDED[status] then return 0 end
end
local owner = unlist(id)
redis.call('ZREM', 'mp:ended', id)
redis.call('ZREM', 'mp:jobs', id)
redis.call('ZREM', 'mp:jobs:' .. owner, id)
redis.call('DEL', record(id), 'mp:events:' .. id, 'mp:children:' .. id, 'mp:lost:' .. id)
return 1
