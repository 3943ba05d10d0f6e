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
    created_at timestamp with time zone NOT NULL
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
CREATE TABLE public.resource (
    name character varying(64) NOT NULL,
    identifier character varying(512) NOT NULL,
    scopes json NOT NULL,
    token_type character varying(16) NOT NULL,
    secret_hashes json NOT NULL,
    is_demo boolean NOT NULL
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
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.user_role (
    subject character varying(32) NOT NULL,
    role character varying(64) NOT NULL
);
ALTER TABLE ONLY public.audit_event ALTER COLUMN id SET DEFAULT nextval('public.audit_event_id_seq'::regclass);
ALTER TABLE ONLY public.compatibility ALTER COLUMN id SET DEFAULT nextval('public.compatibility_id_seq'::regclass);
ALTER TABLE ONLY public.feed_head ALTER COLUMN id SET DEFAULT nextval('public.feed_head_id_seq'::regclass);
ALTER TABLE ONLY public.keyring ALTER COLUMN id SET DEFAULT nextval('public.keyring_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('r0004');
INSERT INTO public.api_key VALUES ('k1', 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', 'nightly', 'a1b2c3', NULL, 'orders', '["orders:read"]', 1, '2026-11-01 12:30:00+00', '2036-01-01 00:00:00+00', '2026-11-01 12:30:00+00', NULL);
INSERT INTO public.audit_event VALUES (7, '2026-11-01 12:30:00+00', 'token.revoked', 'web', 'a1b2c3', 'web', 'k3y0vJt5mXyQ2bR8cPzLwN4sDg', '192.0.2.1', '');
INSERT INTO public.client VALUES ('web', 'Web', '[]', '["password", "refresh_token"]', '["orders:read"]', '["https://app.example"]', 'orders', true, true, false, '2026-11-01 12:30:00+00');
INSERT INTO public.compatibility VALUES (1, 'r0002');
INSERT INTO public.feed_head VALUES (1, 'pX0cAbt3Qz1k', 1);
INSERT INTO public.keyring VALUES (1, 'I-1d5rDYN7xgySxq', 1, '{
 "version": 1,
 "signing": [
  {
   "kid": "FfzW7LMMriwiPKbPT5ESTKDEK2Fhp-z3prohsh_Z6-4",
   "state": "current",
   "public": {
    "kty": "RSA",
    "n": "q8wSFAJgvu7o6sCCqyEdu4BIo5_jyqtB1c1t7EUAb-LOVXUyisNrTL2O7K83-q0PsJGCLE--_lSZgyGx8RpI8ueMRZ1h5MqbD1wImmlIaWbcKx12rKE2s1JOdg_9Ft1GRh-92OyoLdL3_Lfn9RgXI1tlXY7PK5C0Pzynm7GJCqEbeYdcKoyu0RkXkGn-6UKH3I2cb3Y_St98Kcj-rFLswwkv_MlS_4oi3y2Fhhr_DjU2tEtVqZfDyVef-xVBDffrosnr5OwXWZpn7MW611x1aJBgY_W-mRybG6X1faiWsX37Ob-15rfhyykrDHwhIWsPwaNDQu_fvPe4A8YE3lBUmQ",
    "e": "AQAB",
    "kid": "FfzW7LMMriwiPKbPT5ESTKDEK2Fhp-z3prohsh_Z6-4",
    "use": "sig",
    "alg": "RS256"
   },
   "created_at": 1793536200,
   "promoted_at": 1793536200,
   "replaced_at": null
  },
  {
   "kid": "XykdLSrP1yWeDsBXTSVisxRuZpF9oMNhyC36n0662PY",
   "state": "next",
   "public": {
    "kty": "RSA",
    "n": "7MMVjkak-FQL-iIpoQsPPRstRTyXMAZ77cf8mRa9jtjlfRjbKx045XLieA2nlQtFUcJBHG-ZSzcvCjfFBtAL5fd07iEg14E8Vt78vxuj4yTU3e2JDQuOZCL-hxiPzV0Mdc_OS1QlRkzYW0hSlxeaO8QIrvnlSHsBcauklQ8nbfPQZg4YA3gjLuZOJxR-Amgb6h1i76KAZGnDVvm5lgRsPKlXZaIINJlZn6RI5xxzUpWHhWAa7o3mxPJT6OGlTev4i-2huHEqsmzlXcjB-0YPLZTVTPxfVI7FZwY5En9eytl83WB4VEZ-q8AdQnf7oouMiIrDWEihlmAjCju2ZIiE4w",
    "e": "AQAB",
    "kid": "XykdLSrP1yWeDsBXTSVisxRuZpF9oMNhyC36n0662PY",
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
   "key_id": "I2ix",
   "created_at": 1793536200
  }
 ],
 "moved_to": ""
}', '46f42d828b330a8b', '\xc2ec42d4cc8a372b867621deeb2f9ae63e1e5dd7e6594ac85c9235b4');
INSERT INTO public.resource VALUES ('orders', 'https://orders.example', '["orders:read"]', 'JWT', '["abababababababababababababababababababababababababababababababab"]', false);
INSERT INTO public.revocation_rule VALUES (1, 'grant_id', '\xf5c3f6bb1b26bf7c72699181aa4a5b40', 'k3y0vJt5mXyQ2bR8cPzLwN4sDg', true, 4000000000, 4000000000);
INSERT INTO public.role VALUES ('reader', '["orders:read"]');
INSERT INTO public.sealed_key VALUES ('signing', 'FfzW7LMMriwiPKbPT5ESTKDEK2Fhp-z3prohsh_Z6-4', '46f42d828b330a8b', '\x22fc2c57284f6fb43161a7ab46f8186b4a3e692f6dc779e982d27dc6acb463cc1e3c1e37bee66decf8fef3f6c50b3ff5c86a54af2ed28ae214901e82ef54f132fe820685304ddc96c410e60e1fe06f7ec3615b29cd1124b7bafbe05429bf879a9764fc3bea29e6b70ee9ce84f55ead84a610393106ab82cb356cef9df88ddb3e93682ab666919277fdd3826035c668498800565ba32f06596510690a9ed13578282753fb6a6c2ab9877d1956175d71002a8f0a5dca68ad80993b2b6035059ea9ac48a5d3378ba616a27448d2d20aa3898250327e12398e1cc5e498b6402b558278cf3d5f863bb3bfd267b8d2dd476c76b45d6f912d7edde05a046f91e89b39bc302c3da234b85d6f61b7b0d68260d97fed1210497f6e7682c437be1a75e6215fa6527714cdcb5a2ddf94598b21812cae29377c048a9c3f982696e54cd875ac7af87165afd430be9c06e09768ce20e2e69c5d1386be76179b2d238bfd255ba58c3d5ded01a140434658f0d0c221b50652975c515b885c4b221d73274a306abfc9122687f11146c91101e67a3678153b4e14c5917b5339494fcec727ad160d3b88d2b65e0cd8ab79388ed3a5adb4e8b2ba158397b220e9bbba5f38e263868239a5920e474af541fb8ec9557501a84d506824b32885a6e9ba85a0768237e4c87ae7a26e869cca62398b9578907c78a30e00f38197084d11509336f8f070badeb8b1160138684576f005b40160f6bc75ea3e08351445aeb3b9841e5ab02967974f854b300f5d59d1b6c302d8b9409af4f0a7428cd47f95176805b4b1b260279228a58442116c366d5c7a8553a14c40d197605f2a8d7dd2e8e8db6b1ce553f09c594e4543c8fb4921c77b94b04ff7a77ca555f73c2708bba7782a3e4cdcd96eda281d4c2c1671226cde66e4f4ab5e798204b83e524740bcd31eb7c1689a9dbf7d36a90b7ce9f3930667756e9a020bab0fc77078896e6f198316d5553bfc8422334eaf4dd12bbae46c9aebf3afaac0e95d4c4eb90619cac89fcf4e2b276de3577e70571f17d9c3a8fbbc38e58612f019a2c67f5ab6c74b0e88fe804333cc608b6be3bee21e69a1e3d965066ab90f1206fe1e7406bb265c6a1eb4a4926518aa2fba857b73452ebe0b808bf1b9b51f5abc992032b7f20d60b3f08dbd42b6a27222fd0121c5602fdf9d80c178f65ae047a1783d6496e3dc884552ace7d94628ea004414195106bbe7822b18f1fa501e286a3461ef5d5ee8ddebdab4d9de42882ecccc245c877fa685a61dff0e78db25be88b25634539a0189743df3e823f0c682f7d040ad253007e281443248ee0ba64877e2e807826aa389be846ed2ddbbbc7ae849a6deb5e068451ce1c97fa9df6e3f792a7fa547dc72584f1f72634b1af5af0f97aaee19416a35b20b2884ac97abe14b3f8fe1002e27afbcc00190d3cbe88f2d3482e4b8e12a067a062e63a0133d79e1ca49a64e6051e0541605dad1b7b410b13e3abc613eef1e77cce8fabb29a53a5e75219026ff0d98a1f8807e622bf5599fa35f6c75f1cd899101064fd88c65eda44ff499fa4bdfb7219124f33db36345d1c15b705e9984fd27ea61aadd89b388403c291ceef04d468639bf22b678f43cb996fdff6ebb1c0e4ac7eeeebfd4266893a7c50ef0ee5710753d6f858a666411aa8dbe93dcf57efb5ffa04643426ab9b9ae0f7defd80539268f94b92410a8a80c500860dfcf6e6b4eba0dd54ae00e1072d1f7324e97d482b3183845ca4212568d7');
INSERT INTO public.sealed_key VALUES ('signing', 'XykdLSrP1yWeDsBXTSVisxRuZpF9oMNhyC36n0662PY', '46f42d828b330a8b', '\xa56d52b71ed8d2805753cbdd4be15315cbae9a30b0eb24aaaed90b7470064888ae5c6047fc146d2d8d997fc5e90e467106213e91964ae76e00a4bf0bf8955ba08cea09ad95e166a8831b6e60bf8a1c5ad99f5ae360dc09ec690a30812680ae39f513d781067d617f9c3e02fe163ad21626d3917d636ac54f4b5229a69e49fdf78f5c302370d6bdc6afd893dc7427b5304415037fb626e90be52492089a75489544d031dc52260755e19adac6be3f390187531f62bb24eeecf722a1ad872689741621089bf0b30cc1394957798cfecfe07ab3f0b1209894a95d4bf49e951d8a91c97f0a67a3219cdeb34563e2b1a847d6ccd4e46d984adcfae24280a009271f54108e49e00f031d69738682ae0efbca5894b26c9f73df2e4b57816054382abd22d3ae26a95405394c0209220af1b0c6ddb4e7d14eec89ee82ae82c7832b6253355faa17d94bf8153569403d250c74778ecf69d8f0ebafb4f699ec31318ad20d37ecbf38324ab20c9a63f5d814c4a25f3c873ad188392b8653fd34c1e889e0198abf8661ff723736f773b5f40e4cbb5c5f95970cd2c0a8a04e7d647aa94499ad449c600f69888ff20c4c5c731286d768bddce59c213af30dcb821ed469be1e21f218d3d3b9bfeb7a6df7952fef9bd85989c2eb6b0ef40da476157c56b7f2eedd6b5b34f8a5bffbe1bd6c5373782955fd94647a3a1fd92556729ecb640d58b62d921425d880b2287b0309f75c673a0c449d98ad495f88c02baa26178900c27f906c444dfd025b91f36efb53223756cd4bcdd50b095ae8420109fc84577a28cb712ad5a8ce7a2445860c16d18f41081f1393d5f0315af4e31989b40d39c377c28ce7c90a35ef17998fcef6c613b0af89e444b42530836331604b6c40ec8d761b628cb41d24f1b285369b3b9e4408af7cdbde656895064e178453aa43bf840a49821b638c1a043f68361ed8bf763c38bb92923a6f4313945816cc2a4addfb4b959920bb8854b29b56be16b5c2f7f0bb78b6e2db6485ad292af93a4dc3c028a3abcd8343720f6e4d8966135152e2aaf10517c38b2d95ba7a93f8319ce76a94f21f88ee9c08344b7b170a6f4449b5aad38eb3dbf836fdcd138e9e74ebe535815f35aa98ff531262442ab8157b446e346e6d9b0783e8b685b8b81e8482824df377e528093d1d8b7e28545d5a520e436ce2e68a9bcdd665aab3b3c7057f1a7e7668f8a7c301cfd5a7072ab7014df556ca41317b9d6c990877ff2f2b0374e039362a6372821c60d0ba04a6d80592b67f4db7621c5bb97dc2452f9b9773ad4342de96ae99f48cab9f37c76bc0a953fdff7fc7984aae878b6e9607a8b40b273df20852a18003c238d943ad31d901a63ad9d882484a6a429182ed3cc62c5786348936794877ad3bc983d0641db39d7504c20f1d7361d3139f783c6c9464a4ce57ec34ce6e81af74e409935596828f479999eef4c832af4a1ab08a2099986c85eca910d5fd6194dde355319c8c89ff034201bb52176c663203855834e4be59574b72134396b1aa882430c959a9314bbd13eb2fc85ca389120a38abe68d919f7773028656bf238e98dc0057c2adc6a65814ce5e17567556783faf77158477e2c7fc970fcd577adea9ac833bc7b2767bfb24ec4b1c4d5d6e2aa549f7f73f7057cc63e1b8e8a9bacaf5bf2748d9833858e2ff4e127c74e20a5f87935b3af48826975c0c2ed4560f334f6d8d40e54673bc4af2f8413ca91bc1cdc3a7cc5bbcfd6a9e637e05');
INSERT INTO public.sealed_key VALUES ('refresh', 'I2ix', '46f42d828b330a8b', '\x8ff2346b344cd5e185b7f79e880f85f27ae9d5bd1259b44e9d0995c160f6e993d756a846252c345de68d5d29d140d81e005176c0f0daf8a794088fab');
INSERT INTO public.user_account VALUES ('a1b2c3', 'Zoë', 'zoë', '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$Zm9vYmFy', true, false, '2026-11-01 12:30:00+00');
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
ALTER TABLE ONLY public.feed_head
    ADD CONSTRAINT feed_head_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.keyring
    ADD CONSTRAINT keyring_pkey PRIMARY KEY (id);
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
ALTER TABLE ONLY public.user_role
    ADD CONSTRAINT user_role_role_fkey FOREIGN KEY (role) REFERENCES public.role(name);
ALTER TABLE ONLY public.user_role
    ADD CONSTRAINT user_role_subject_fkey FOREIGN KEY (subject) REFERENCES public.user_account(subject);
