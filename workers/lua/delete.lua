#!lua flags=allow-oom
-- ARGV: id. Only an ended job goes; its files are the caller's to remove.
local id = ARGV[1]
local status = redis.call('HGET', record(id), 'status')
if not status or not ENDED[status] then return 0 end
local owner = unlist(id)
redis.call('ZREM', 'mp:ended', id)
redis.call('ZREM', 'mp:jobs', id)
redis.call('ZREM', 'mp:jobs:' .. owner, id)
redis.call('DEL', record(id), 'mp:events:' .. id, 'mp:children:' .. id, 'mp:lost:' .. id)
return 1
