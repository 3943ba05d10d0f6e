CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.api_key (
    key_id character varying(32) NOT NULL,
    secret_hash character varying(64) NOT NULL,
    name character varying(255) NOT NULL,
    subject character varying(32),
    client_id character varying(128),
    resource character varying(64) NOT NULL,
    scopes json NOT NULL,
    revision bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT ck_api_key_owner CHECK (((subject IS NULL) <> (client_id IS NULL)))
);
CREATE TABLE public.audit_event (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    event character varying(64) NOT NULL,
    actor character varying(255) NOT NULL,
    subject character varying(255) NOT NULL,
    client_id character varying(128) NOT NULL,
    grant_id character varying(64) NOT NULL,
    address character varying(64) NOT NULL,
    detail character varying(1024) NOT NULL
);
CREATE SEQUENCE public.audit_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_event_id_seq OWNED BY public.audit_event.id;
CREATE TABLE public.client (
    client_id character varying(128) NOT NULL,
    name character varying(255) NOT NULL,
    secret_hashes json NOT NULL,
    grant_types json NOT NULL,
    scopes json NOT NULL,
    origins json NOT NULL,
    default_resource character varying(64),
    rotates_refresh_tokens boolean NOT NULL,
    is_enabled boolean NOT NULL,
    is_demo boolean NOT NULL,
    created_at timestamp with time zone NOT NULL,
    redirect_uris json DEFAULT '[]'::json NOT NULL,
    post_logout_redirect_uris json DEFAULT '[]'::json NOT NULL,
    is_trusted boolean DEFAULT false NOT NULL,
    authentication_method character varying DEFAULT ''::character varying NOT NULL,
    certificate_subject character varying DEFAULT ''::character varying NOT NULL,
    subject_type character varying DEFAULT 'public'::character varying NOT NULL,
    sector character varying DEFAULT ''::character varying NOT NULL,
    id_token_signing_alg character varying DEFAULT 'RS256'::character varying NOT NULL,
    userinfo_signed_response_alg character varying DEFAULT ''::character varying NOT NULL,
    backchannel_logout_uri character varying DEFAULT ''::character varying NOT NULL,
    jwks_uri character varying DEFAULT ''::character varying NOT NULL,
    profile character varying DEFAULT ''::character varying NOT NULL,
    requires_pkce boolean DEFAULT true NOT NULL,
    requires_pushed_requests boolean DEFAULT false NOT NULL,
    requires_signed_requests boolean DEFAULT false NOT NULL,
    accepts_token_endpoint_audience boolean DEFAULT false NOT NULL,
    dpop_bound_access_tokens boolean DEFAULT false NOT NULL,
    certificate_bound_access_tokens boolean DEFAULT false NOT NULL,
    is_dynamic boolean DEFAULT false NOT NULL,
    jwks json DEFAULT '[]'::json NOT NULL,
    response_modes json DEFAULT '[]'::json NOT NULL
);
CREATE TABLE public.compatibility (
    id integer NOT NULL,
    oldest character varying(32) NOT NULL
);
CREATE SEQUENCE public.compatibility_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.compatibility_id_seq OWNED BY public.compatibility.id;
CREATE TABLE public.consent (
    subject character varying(32) NOT NULL,
    client_id character varying(128) NOT NULL,
    scopes json NOT NULL,
    revision bigint NOT NULL,
    granted_at timestamp with time zone NOT NULL
);
CREATE TABLE public.feed_head (
    id integer NOT NULL,
    epoch character varying(32) NOT NULL,
    seq bigint NOT NULL
);
CREATE SEQUENCE public.feed_head_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.feed_head_id_seq OWNED BY public.feed_head.id;
CREATE TABLE public.initial_access_token (
    token_hash character varying(64) NOT NULL,
    name character varying(255) NOT NULL,
    policy json NOT NULL,
    uses_left integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
);
CREATE TABLE public.keyring (
    id integer NOT NULL,
    name character varying(32) NOT NULL,
    version bigint NOT NULL,
    document text NOT NULL,
    master_key_id character varying(32) NOT NULL,
    seal bytea NOT NULL
);
CREATE SEQUENCE public.keyring_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.keyring_id_seq OWNED BY public.keyring.id;
CREATE TABLE public.logout_notice (
    id character varying(32) NOT NULL,
    client_id character varying(128) NOT NULL,
    subject character varying(32) NOT NULL,
    session_id character varying(64) NOT NULL,
    attempts integer NOT NULL,
    due_at bigint NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.resource (
    name character varying(64) NOT NULL,
    identifier character varying(512) NOT NULL,
    scopes json NOT NULL,
    token_type character varying(16) NOT NULL,
    secret_hashes json NOT NULL,
    is_demo boolean NOT NULL,
    signing_alg character varying(16) DEFAULT 'RS256'::character varying NOT NULL
);
CREATE TABLE public.revocation_rule (
    seq bigint NOT NULL,
    kind character varying(16) NOT NULL,
    digest bytea NOT NULL,
    value character varying(1024) NOT NULL,
    ends boolean NOT NULL,
    expires_at bigint,
    kept_until bigint
);
CREATE TABLE public.role (
    name character varying(64) NOT NULL,
    scopes json NOT NULL
);
CREATE TABLE public.sealed_key (
    purpose character varying(16) NOT NULL,
    key_id character varying(64) NOT NULL,
    master_key_id character varying(32) NOT NULL,
    sealed bytea NOT NULL
);
CREATE TABLE public.user_account (
    subject character varying(32) NOT NULL,
    username character varying(255) NOT NULL,
    username_key character varying(1024) NOT NULL,
    password_hash character varying(255),
    is_enabled boolean NOT NULL,
    is_demo boolean NOT NULL,
    created_at timestamp with time zone NOT NULL,
    claims json DEFAULT '{}'::json NOT NULL
);
CREATE TABLE public.user_role (
    subject character varying(32) NOT NULL,
    role character varying(64) NOT NULL
);
ALTER TABLE ONLY public.audit_event ALTER COLUMN id SET DEFAULT nextval('public.audit_event_id_seq'::regclass);
ALTER TABLE ONLY public.compatibility ALTER COLUMN id SET DEFAULT nextval('public.compatibility_id_seq'::regclass);
ALTER TABLE ONLY public.feed_head ALTER COLUMN id SET DEFAULT nextval('public.feed_head_id_seq'::regclass);
ALTER TABLE ONLY public.keyring ALTER COLUMN id SET DEFAULT nextval('public.keyring_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('r0006');
INSERT INTO public.api_key VALUES ('k1', 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', 'nightly', 'a1b2c3', NULL, 'orders', '["orders:read"]', 1, '2026-11-01 12:30:00+00', '2036-01-01 00:00:00+00', '2026-11-01 12:30:00+00', NULL);
INSERT INTO public.audit_event VALUES (7, '2026-11-01 12:30:00+00', 'token.revoked', 'web', 'a1b2c3', 'web', 'k3y0vJt5mXyQ2bR8cPzLwN4sDg', '192.0.2.1', '');
INSERT INTO public.client VALUES ('web', 'Web', '[]', '["password", "refresh_token"]', '["orders:read"]', '["https://app.example"]', 'orders', true, true, false, '2026-11-01 12:30:00+00', '["https://app.example/cb"]', '["https://app.example/"]', true, 'private_key_jwt', 'CN=web', 'pairwise', 'app.example', 'ES256', 'ES256', 'https://app.example/out', '', 'fapi2', false, true, true, true, true, true, true, '[{"kty": "EC", "kid": "k"}]', '["query"]');
INSERT INTO public.compatibility VALUES (1, 'r0002');
INSERT INTO public.consent VALUES ('a1b2c3', 'web', '["orders:read"]', 1, '2026-11-01 12:30:00+00');
INSERT INTO public.feed_head VALUES (1, 'pX0cAbt3Qz1k', 1);
INSERT INTO public.initial_access_token VALUES ('efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef', 'partners', '{"scopes": ["orders:read"]}', 3, '2026-11-01 12:30:00+00', '2036-01-01 00:00:00+00');
INSERT INTO public.keyring VALUES (1, 'XNEsubLv6Q-NWbCQ', 1, '{
 "version": 1,
 "signing": [
  {
   "kid": "AAqQydoEo7-6gK7EkLUcvF9cP6cUwCB9A7f9mrSDQQ4",
   "state": "current",
   "public": {
    "kty": "RSA",
    "n": "r1VWE9bz8LIvjSM2iBOTLai7rm5Czf3w9-AQprEQ3RIDvVDTgqTgkW2iIsyT542M1sa25Ceq7ZlekrtwBlgq-kErDl1HbbRmcRsHejn-dBKUPpQ4nPqeB-6T-ooCafU7r0OEk80BgRmU-B-UIpa6KvOZFLR9wowudvTz2dC7i_-wM8_1G2IJnbbJ8vv1aYsl19MsewPlzRbqfCbLjgb0ih-AKRGyJv1y_cG9ljjtAac2m8EvUNiq9QvUGK0XhskQ0NKWwXQAWKUNIhdg2zCyjaiG1wJ5iwJ6YcxqaGDkNgRsUWdwjZbrwvUu6faZetfgE2y6IfsXXG4MXHFwtTs80w",
    "e": "AQAB",
    "kid": "AAqQydoEo7-6gK7EkLUcvF9cP6cUwCB9A7f9mrSDQQ4",
    "use": "sig",
    "alg": "RS256"
   },
   "created_at": 1793536200,
   "promoted_at": 1793536200,
   "replaced_at": null
  },
  {
   "kid": "ILq2uyw5XlyHWKFp7QGbGWT0kzd8xfGYvH9xM7AVHP8",
   "state": "next",
   "public": {
    "kty": "RSA",
    "n": "1nyI-TY4zf3j-QpL0M-yoOaF0K_gTqDrIDoDRP7ZKjMBpM2ItgKf0E_MgEcog8qfVnH8moeAZRGO6Pk7ejdSGl_YoFUUQzdU6wq6zmGAoBAOnG-rXnn4fHqEadQW3SBTO2eBgVzfCLqtphRc-O7dwtlE24od06krGbjW5KV0YNdeVX9yXiT3Wc8ydekDF0fO5jmcrjTV9oZ5KChzEtzb-mY8kJIDx0vGXM1m0kMTzAW9tVj8lhN0JR4vTr45F4PQAbVNgmTAcvdcXRZf3q_LUeT1sFnL2xdJFcKOzUvxHbo_BN7WAQNwIdVCkX3C83GJknbmAiYOhHhtM2q72Tnkgw",
    "e": "AQAB",
    "kid": "ILq2uyw5XlyHWKFp7QGbGWT0kzd8xfGYvH9xM7AVHP8",
    "use": "sig",
    "alg": "RS256"
   },
   "created_at": 1793536200,
   "promoted_at": null,
   "replaced_at": null
  }
 ],
 "refresh": [
  {
   "key_id": "N1P1",
   "created_at": 1793536200
  }
 ],
 "moved_to": ""
}', '46f42d828b330a8b', '\xc69469022da8c2f57def53fafd3dbef024793beb241221725d4fe024');
INSERT INTO public.logout_notice VALUES ('n1', 'web', 'a1b2c3', 's1', 2, 4000000000, 3999999000);
INSERT INTO public.resource VALUES ('orders', 'https://orders.example', '["orders:read"]', 'JWT', '["abababababababababababababababababababababababababababababababab"]', false, 'ES256');
INSERT INTO public.revocation_rule VALUES (1, 'grant_id', '\xf5c3f6bb1b26bf7c72699181aa4a5b40', 'k3y0vJt5mXyQ2bR8cPzLwN4sDg', true, 4000000000, 4000000000);
INSERT INTO public.role VALUES ('reader', '["orders:read"]');
INSERT INTO public.sealed_key VALUES ('signing', 'AAqQydoEo7-6gK7EkLUcvF9cP6cUwCB9A7f9mrSDQQ4', '46f42d828b330a8b', '\xee63a7bd3e07f455be032ff9452410b5cb0e45729d7d2bb685ea5aec29952c95d54556fe3e833d67532e35fc679acf2e1be933a9b2756df4592a5e7067abb166392716ca2a7b407e22da391d63357c0b0a7e01faa0e379c8dc908dcc598a2c1ba2e17856ad87387724d9c225413799f5367fdc9e27bf2873308ea600e1f03ed4eebf957f90897f6184efe4b35ff56fcfba9d191c8c1bb4bf5b151c715182e8493625e09fb3742cb9338b6b73e4002bff84e344f80c471570c8767c7ead839d229f10bf8ea31586089325fa1dd17ed024b5b0e10bfae2ca307fda2dd70aa00305935e0f48656ec42d68f1ac4df36ed77fc15f0e92c909ac3be950fc04e12f753152032f31ca160bcb8eca0332e520ba79006bae19cadff71c66c7b5cc70ec362375c23cdc5583c974639b4f2a4c72c2cb8a972ee6b330f6c5c169c530aefb14294dc8051200ab4314f3b4a17642821bfbbed2817e4e0e3d997ef0975e996691ae7ef0bffc9eb2ef0762acd7c5fbdacde06cd93a8018cbcc6a124fbc939735f03e33cc8f231c08f8d0517d49e12c9d1556ef01b7ef451b0b30b4fe94710902709ecfcfa06ef84c5d7a361777437d249b6a2f9f1e986e61953938d67ebf9d1c8944446b74177e852045c2666ffaed70e8933458db2fbe1442c481ede72bd7cd8f7be94b4c385bbd310f314c670e703ed073965b0f252d1016b53bdbb308836a658bc353de7819d56e9713b164b038d940a4f8eab23aa0944e134239ad9fbb291a69fb90ab29d573cdaaea51589069ccd2b418f0c431c3bb53751f7d8175a449724e922e027c536f39422142c7c44cf7d904ec38cf0891dd25256b3e56cfca3806778bee28f20796a999221c843e5d557c573604d2e7ac532b91a7dc4a7d87cb84960823cee6ea228d824a254640527bb057be7b6be555042c5c0faaf69291677740f0891e5d79968a80c0f5f5fab7d7277166795f4e223a15fb30fd64adf81ebeb53628f5f696d100a7ef5846abb4198820da29c98e6cb1ae61a905404c83d20162685e7d2e968f3f4ae0b8caea6d7949dbd760aa095f8fbfade53ea5693cfff2c8b0346f7b111aca92fcfbd67f45ab0523d5dc95dedec7ec6146bf255c451cc26606887caaf1876966406d9e7f87801201645c61e9b82cbea455c4cb5d951b63b32aef5e236aa56d4746c01a83faafbaf8c77696c1a4e917d3f0bbec6b51fe4db459ae8590ea4b9b4fa35aefac294d2ac8bc0316b3e59f5382eea2699562f35a5442812c554bcd9f8a09f3d7ac1586e24ad8ea6243287f97b8c0adc84fe129ba2555fa868b530b0c722d3cdf92260901ca91e8d54269a00a8e1fad603e62ae370691b1f99a98f21005ff58fa8eaca002eb2baf44351bac498cb56a980c706af56fa9bfc7b5ff1b993f36647ac59e2bbd8aa8dad31d8dc348f18dac58fd0f3ba7563b42c0663c77c7e439a0d665ca673b23d3d45dd74abd682558ac8dfdcd03f3c0b5a671f39d076037c8a1bd8499da45eba82e68ef366a48253436a9d66b748a5abc769e64990fc6fd69be24f3a72765c22b3af635022f025b377d921372fbf063f9d241bc7f20a8561ff18483bb4c97a3b40de4dc7531856bef96a575179a6ed5d1ae42e239d0ef76a5567b052c74acc367a2cfb086c3240f3102eedc38c81575df3578daa6e495bf5594651a66fa85e9bc9b2cf0d051535551dc8eb327f5c16d8397b2214230f94ce2714ec8aaf5ce57674b788677b4fa15afe21aa3d0');
INSERT INTO public.sealed_key VALUES ('signing', 'ILq2uyw5XlyHWKFp7QGbGWT0kzd8xfGYvH9xM7AVHP8', '46f42d828b330a8b', '\x1c7fb01e88f2999e283f75c4655a0372a9e90ababdc09713bade6240102dc9682029620a6dbefa91b231d8c0875f0a94b33ec175bbd76d92c030357873dc8626250d45be5672ae7b0cd3c64a72bbca850c7556cde82f1865e6bd4442f8beb21617f12a314bbdc1c6a6cfb330aa167ab9ffb3f9a440ae57f4a8a699f1e9c01337e263f578a409109bc7dfa17a930fea870e3dfde022b3890f5e6842e8c21e2492c05d6dadbd1d50eeb44e6ed7c30e07fcfa50fab053397ad87b8ddc08a376ceda9f81663af10ae95505ba61373ff7ce9cf6c3def18ae037621433d7be5f2c93704d1290ece8286d934f58050009bd734c01333ca52f8b73ecfca71709484321c41bf6342570ccd7fd7d5bc1400da37d4f5296cd5b813a186f8dcdb0cd3951aee85ba861d9d451b7b49b275f39db37e764e4b0d7ff2429c39635208d4715f12ea1145983a085a7f5af3e8be6c146e4a03aef8e5bd10ae1cfd860375bf7fe818263214ace7594449019b4f21396d38e89d76933b77a908022494f07955954733b3011f463cac31047b46216f09471d77ac77f0cee2caa80a82a710acd7363d90f3fb3535c302d74ccbc5e5dafc3fb612eff5a834d3a1b6b0caf39ba3173b750f92642ff04f7846cf8f15b3fb7272205141f2e2b86d01b004538bf688b2db94494ea3c87d754181428cb6df9ac2959f43ecc6df013d467ab81f50c033401d44b382676d6ca6a50b937e0754e4cc599445164dc23dcf2b5440077abf750062e210b7e6e2f8e6cacf64e4f5e5c6d7330aab89359362e4dfe73979f485cb1daa733c542c00e4e9a1bdac2d46a31266b46130c8f69c9a72faa18e98f0b8f10b9e605e1f70d0a3a5fdb33b3329d86771f5263d94d69820004e414bdd81be84368f557fea1943648f86b1c90e2f1d3f3bd5ce695fa9bfcf4d5c625d84dea4288a04eab9a73b98e43564b5aea17a1fbff8352f0763be36951ad014de0cf4eaa680d5917b6edca11fdfcf2de921814a3aee7ce7daae40b0ec0d897c9472274ce4ffb8bce931581c6adf3843cdc455b14a6044239c02e63b3a5ff9c24839d45a0a232a3d7f7881bb2df3a13a8aeac74c4ba66441be4b252acf7e66ba55d18f03fb3d41eda3670c60a089f576090de5d16b040fbe95d8db963881ce492d4c874e98d705da4461ee6ba2c1d05d43347fe4a2db1514ce5688927d526b02a92a5017c881fa5a334874556b5da38d9a86017d4e1a5c7a18b516458110291636e9efffacc172f55fc6a77851669cd9b475625d47781c087f1d98cfa3c5dc04b43c360c176c0db82574a4516af428e717fa3805cf855133858dfd7786896e130f6974fd77594461171510e8ced0d42285c20f01065d2f5d0d49f0da7bcea0718038ec4e3c2132ce085ecac3abddc485710900cda825916b357658b87d50ff654d1015e2896384f801b45ba807c3c592ca5ca15538f45b899c9abd474423460994b8c8747681f12652a4c917ba816c54a006f3c985daf9dcc4e7b9a16afd26909b075731e3ef0a4b300815c424f0681f15dfae43936c28b89163057a621a10ce5eb7a5a722eb5cde87da1f11f9c339054bd88cc009a331a07b3dac533e6b13f4ffd4f1bcef8e1b18f6e1e6b74c4ef391f971e621e8890a3528a8f6a8b347fb94edddf3588a5bd0c2716bf64a416477a4ff6eb2f260b0afeb4eae0be721fd67505bf285f97b8121cb5aa3bfa56eff29370773117fbecdcefe6060c3cd29c8b991f7f06c369b56029');
INSERT INTO public.sealed_key VALUES ('refresh', 'N1P1', '46f42d828b330a8b', '\x0b69855a39d92b09630ff55590415901602aaeff741710126ed17b7eb4b3255d049cf1c539a3c2a7af62592df6137b7263251a05a2f31eccca5d3187');
INSERT INTO public.user_account VALUES ('a1b2c3', 'Zoë', 'zoë', '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$Zm9vYmFy', true, false, '2026-11-01 12:30:00+00', '{"name": "Zo\u00eb"}');
INSERT INTO public.user_role VALUES ('a1b2c3', 'reader');
SELECT pg_catalog.setval('public.audit_event_id_seq', 1, false);
SELECT pg_catalog.setval('public.compatibility_id_seq', 1, false);
SELECT pg_catalog.setval('public.feed_head_id_seq', 1, false);
SELECT pg_catalog.setval('public.keyring_id_seq', 1, false);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (key_id);
ALTER TABLE ONLY public.audit_event
    ADD CONSTRAINT audit_event_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.client
    ADD CONSTRAINT client_pkey PRIMARY KEY (client_id);
ALTER TABLE ONLY public.compatibility
    ADD CONSTRAINT compatibility_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.consent
    ADD CONSTRAINT consent_pkey PRIMARY KEY (subject, client_id);
ALTER TABLE ONLY public.feed_head
    ADD CONSTRAINT feed_head_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.initial_access_token
    ADD CONSTRAINT initial_access_token_pkey PRIMARY KEY (token_hash);
ALTER TABLE ONLY public.keyring
    ADD CONSTRAINT keyring_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.logout_notice
    ADD CONSTRAINT logout_notice_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.resource
    ADD CONSTRAINT resource_identifier_key UNIQUE (identifier);
ALTER TABLE ONLY public.resource
    ADD CONSTRAINT resource_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.revocation_rule
    ADD CONSTRAINT revocation_rule_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.role
    ADD CONSTRAINT role_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.sealed_key
    ADD CONSTRAINT sealed_key_pkey PRIMARY KEY (purpose, key_id);
ALTER TABLE ONLY public.user_account
    ADD CONSTRAINT user_account_pkey PRIMARY KEY (subject);
ALTER TABLE ONLY public.user_account
    ADD CONSTRAINT user_account_username_key_key UNIQUE (username_key);
ALTER TABLE ONLY public.user_role
    ADD CONSTRAINT user_role_pkey PRIMARY KEY (subject, role);
CREATE INDEX ix_api_key_client_id ON public.api_key USING btree (client_id);
CREATE INDEX ix_api_key_subject ON public.api_key USING btree (subject);
CREATE INDEX ix_audit_event_at ON public.audit_event USING btree (at);
CREATE INDEX ix_logout_notice_due_at ON public.logout_notice USING btree (due_at);
CREATE INDEX ix_revocation_rule_digest ON public.revocation_rule USING btree (digest);
CREATE INDEX ix_revocation_rule_kept_until ON public.revocation_rule USING btree (kept_until);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.client(client_id);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_resource_fkey FOREIGN KEY (resource) REFERENCES public.resource(name);
ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_subject_fkey FOREIGN KEY (subject) REFERENCES public.user_account(subject);
ALTER TABLE ONLY public.client
    ADD CONSTRAINT client_default_resource_fkey FOREIGN KEY (default_resource) REFERENCES public.resource(name);
ALTER TABLE ONLY public.consent
    ADD CONSTRAINT consent_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.client(client_id);
ALTER TABLE ONLY public.consent
    ADD CONSTRAINT consent_subject_fkey FOREIGN KEY (subject) REFERENCES public.user_account(subject);
ALTER TABLE ONLY public.logout_notice
    ADD CONSTRAINT logout_notice_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.client(client_id);
ALTER TABLE ONLY public.user_role
    ADD CONSTRAINT user_role_role_fkey FOREIGN KEY (role) REFERENCES public.role(name);
ALTER TABLE ONLY public.user_role
    ADD CONSTRAINT user_role_subject_fkey FOREIGN KEY (subject) REFERENCES public.user_account(subject);
