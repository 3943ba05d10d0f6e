"""What is short-lived or hot, in Redis or Valkey: one file for each thing kept, its Lua beside it. redis-py only here."""
