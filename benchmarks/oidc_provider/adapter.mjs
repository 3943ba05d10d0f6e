// Keeps everything in Redis, in the way of oidc-provider's own Redis example: a hash for what is used once, a string for
// the rest, for each grant a list of what has to go with it, and for each session where it is found by its uid.

import Redis from 'ioredis';

const redis = new Redis({ path: process.env.PEER_REDIS_SOCKET, keyPrefix: `peer:${process.env.PEER_PORT}:` });
const USED_ONCE = new Set(['AuthorizationCode', 'RefreshToken', 'DeviceCode', 'BackchannelAuthenticationRequest']);
const OF_A_GRANT = new Set(['AccessToken', ...USED_ONCE]);

export class RedisAdapter {
  constructor(name) {
    this.name = name;
  }

  key(id) {
    return `${this.name}:${id}`;
  }

  async upsert(id, payload, expiresIn) {
    const key = this.key(id);
    const commands = redis.multi();
    const text = JSON.stringify(payload);
    if (USED_ONCE.has(this.name)) {
      commands.hset(key, { payload: text });
    } else {
      commands.set(key, text);
    }
    if (expiresIn) commands.expire(key, expiresIn);
    if (OF_A_GRANT.has(this.name) && payload.grantId) {
      const grant = `grant:${payload.grantId}`;
      commands.rpush(grant, key);
      commands.expire(grant, expiresIn);
    }
    if (payload.uid) commands.set(`uid:${payload.uid}`, id, 'EX', expiresIn);
    await commands.exec();
  }

  async find(id) {
    if (!USED_ONCE.has(this.name)) {
      const text = await redis.get(this.key(id));
      return text ? JSON.parse(text) : undefined;
    }
    const { payload, ...rest } = await redis.hgetall(this.key(id));
    return payload ? { ...rest, ...JSON.parse(payload) } : undefined;
  }

  async findByUid(uid) {
    const id = await redis.get(`uid:${uid}`);
    return id ? this.find(id) : undefined;
  }

  async findByUserCode() {}

  async destroy(id) {
    await redis.del(this.key(id));
  }

  async revokeByGrantId(grantId) {
    const grant = `grant:${grantId}`;
    const keys = await redis.lrange(grant, 0, -1);
    await redis.del(grant, ...keys);
  }

  async consume(id) {
    await redis.hset(this.key(id), 'consumed', Math.floor(Date.now() / 1000));
  }
}
