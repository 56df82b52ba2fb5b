-- ARGV: model, owner, seq, edges, losses, lives, time to live (ms), content.
return push_entry(unpack(ARGV))
