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
    is_trusted boolean DEFAULT false NOT NULL
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
INSERT INTO public.alembic_version VALUES ('r0005');
INSERT INTO public.api_key VALUES ('k1', 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', 'nightly', 'a1b2c3', NULL, 'orders', '["orders:read"]', 1, '2026-11-01 12:30:00+00', '2036-01-01 00:00:00+00', '2026-11-01 12:30:00+00', NULL);
INSERT INTO public.audit_event VALUES (7, '2026-11-01 12:30:00+00', 'token.revoked', 'web', 'a1b2c3', 'web', 'k3y0vJt5mXyQ2bR8cPzLwN4sDg', '192.0.2.1', '');
INSERT INTO public.client VALUES ('web', 'Web', '[]', '["password", "refresh_token"]', '["orders:read"]', '["https://app.example"]', 'orders', true, true, false, '2026-11-01 12:30:00+00', '["https://app.example/cb"]', '["https://app.example/"]', true);
INSERT INTO public.compatibility VALUES (1, 'r0002');
INSERT INTO public.consent VALUES ('a1b2c3', 'web', '["orders:read"]', 1, '2026-11-01 12:30:00+00');
INSERT INTO public.feed_head VALUES (1, 'pX0cAbt3Qz1k', 1);
INSERT INTO public.keyring VALUES (1, 'kucD_rWmQY6vSWn5', 1, '{
 "version": 1,
 "signing": [
  {
   "kid": "QJ9FSFICRTrucoTXQf-fJWioJwzIOy2a9aUWWxKM6iY",
   "state": "current",
   "public": {
    "kty": "RSA",
    "n": "sWhzhqCzVILz1KPrQCoXG4c_3h6VSzwJo7LdxGMTVGfMXMLpUz8Ns5xw2rUEMQFN9wO54EAV5VQ8R_hCHVLzTf6GHM21AscqPITzHD9dVyqQXT25I2kUvo0p9NXyjIuDLVsqm_AsKM37SrNXLcTdSK2q3L9RUzOwb6dBaIW7mlJTvPf-F0_hYzv2NUsuBaqEcXHgOCjh48OYMkz6j-6bh4wi6aTBQbkyaqOWlifp0BwgiRLF7FwDwQ585D7L39LAi6oojHdr0Jybn3_PPubPYqZ-IS4Z6RMIKLHctiAsxsPTQvA-fm7ZSvw3crW3qD2RS_8beTsNXbtw3lXGBjWnVw",
    "e": "AQAB",
    "kid": "QJ9FSFICRTrucoTXQf-fJWioJwzIOy2a9aUWWxKM6iY",
    "use": "sig",
    "alg": "RS256"
   },
   "created_at": 1793536200,
   "promoted_at": 1793536200,
   "replaced_at": null
  },
  {
   "kid": "-jkgGooRhW9zWUCU_pyijDbvrwVm-78HBqbgN-7vFYM",
   "state": "next",
   "public": {
    "kty": "RSA",
    "n": "qioFoHFaepGXJZUHNVPiO9f5g4c_yLJRH_jIKzPn8qCKRGVdfORQ5xeZtSYozr7TYppIJAtCXQIivLQbcKFXX1nYDU4zb-arRl4hf0lwfMlmlpgHGU_njzmkAbTDFFZf5LxAcfjv2FL8BNXqefT7VUQGFz2vdy-2_jzCET4UUgp8csEypB7LiPiNtdS-uIU_wnWIssAjeFKTy8MJZGsybl-MJlc2iOFvKZtQ09i4U7wWKRJvrWlRdDdjHjj-LdlFCd3WyJZA5DTxWjObiyqKY3SUnIMCaKx4Jpg4tINSxy7xk9mjM2aeSEP0KYC1o4wqoeCTOSoxbT_d7Z-OrP1gpw",
    "e": "AQAB",
    "kid": "-jkgGooRhW9zWUCU_pyijDbvrwVm-78HBqbgN-7vFYM",
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
   "key_id": "k6Z9",
   "created_at": 1793536200
  }
 ],
 "moved_to": ""
}', '46f42d828b330a8b', '\x0c7c6ae64e9d8cd80a66783684ded5b1f29f9ee074872609c0c25ad8');
INSERT INTO public.resource VALUES ('orders', 'https://orders.example', '["orders:read"]', 'JWT', '["abababababababababababababababababababababababababababababababab"]', false);
INSERT INTO public.revocation_rule VALUES (1, 'grant_id', '\xf5c3f6bb1b26bf7c72699181aa4a5b40', 'k3y0vJt5mXyQ2bR8cPzLwN4sDg', true, 4000000000, 4000000000);
INSERT INTO public.role VALUES ('reader', '["orders:read"]');
INSERT INTO public.sealed_key VALUES ('signing', 'QJ9FSFICRTrucoTXQf-fJWioJwzIOy2a9aUWWxKM6iY', '46f42d828b330a8b', '\x2d57992b46bcbe6808ce308b5ccf00cadaa2769e1ff144132b368eab4d8e1c7fcd2dc7bae2bd932865819e2def08072748078fb44ffd381aa46da582c829556ef7010866a807c5c3096b18062b2c2762c28e9e43201d429160128df30a0c5c5d404dbf502fcf12a306d444cb7cf00defa350831764053714ba118e0dd5438c5764110e8e69467d6516f91091d427eb594e00b19887a823ecbc92262bc9792cbe90cf42a955e25927c687cba4254f490cad55dc625398f0a1ca77fc60596e16cb5e40a4988413fe3e3d7b7fa9aa8caaf611b89aea764ffe4b06d9d95fff6576f4998fdd90b9c757a064afb9b2301982589e2656fdcd1a2dada222cca441c10b16d567a07162d129413f5da2f1af123836f277ec44213c040d70bd54b384597432dbc7fc0bbdded8a1546ee72dad0bef021a1c17edd74623602409c5b86f9f0e6f0c3f8ceea6c1df07a2aeccc457a6c6e7626aab271a7878d26b64215b2661a33552e750f18cd70d48a2440f4d762474cba3cae0f2deea681441a4f965e9f989fbee3d8d9657d19998863a48b10208463f9fe7d560d5749f8d694f4cf126dd271c622983edb82d4832c4d1df952a24179c1331998b69d07b17ffbd2e2f9a25656d25d1f61d4f566c214c524fbf5ab268f37913ab19b42080a28d9a9679f50fb2e74f8fbfaa5ebaa05f9ab379dc7a75ef6134b78742dcb52a0bd0a75a8e0ff565621ef244b08a98f8dc614ab25e1b03057408d0b3805c0cdb3db6fa9ab09cdc638814e8329af64e395ad024da1148128811750f8e163671e1ff003649e8411b1d0ef8dac1b3147b8103cad92ad752c0c22af76304af22b2a1f10266eb512493b6997adae8bf6d36bb025cde9c1861dae3e91db721d0dd6ed3037b60a66a0649c4bcf4a265769f4d2bbb99f27e56bbe122a3f8d4786b4de1581045f509f0c92a11a48950fbe9c1acf0e7373cb638b361c883d7d3b26a77c155ddf397526230230d99344d318d01178917dba590e261dd3535d872b43d4bd63b3c0e7c496db0ef5bf9c157f54edc495222fce3fcc7c3225e8a892047295b64c195a458f2eaf8c7992252d8606c9ee8e0be550d446bb2321c6cfbbd6ebf6fa0c8ea089dc62a032596d475f0ea8171c17f9b849ad58c255b4625ec6c97c68896c952dafe8c5fb3f64bfaf5d49cc1a7c7fb4324948b97c1fc82e3f378334e69a49259c3fbeed69e0e941265a26a74e8b7d031878549e6d522d5cc79ceae996d024bcaa2b0d0aee15b0b96f321e37290ab9cbf15fe887364dd4cbfaf80f30ff5b8d3b42a701cf847e2bb8835d812b9fd1db4c4c54ff9cb4ea60909b3687035d52fec951e303d3490229b5b70723680d79f98cb2e4210b357a08857110230eb66bff2addd172bb13a5c7c51d228d6c67dea50f3235a9558bdc07c084c839442b795ce6da84b383b1a5ab6334702929d50c150a852816f391cd67faf41e769808b3fc7598e559b673477a8f237bde0ef605fb6bf4f35fcc4573addd6f610a0d734eb03cb52810ed36cb0893cbc88ab10924ad1596a4ba1174779d8b85306ce889efddf3af341747f1cb4a666bf940fd4530428bfb5a4542d1712d21a516c86ae927b527bf83d6e19f260b41e3863ae3769cfff528ca4d1af9a1cab27eede55caaed6cf2f8aaf0799b32597d018cbe65f996f859359daaa4b853d72ba136ab36b527ed3ec8e79e6a6b1ea71523c1939d2cbf2342960cd16064506ba8725aa787dca813374b5d4a73282');
INSERT INTO public.sealed_key VALUES ('signing', '-jkgGooRhW9zWUCU_pyijDbvrwVm-78HBqbgN-7vFYM', '46f42d828b330a8b', '\xbed3952faa81802fe554a380f62632dece4c57aed25277dc465b324530ebc8c7f30da849612e97de6c0d596dc92ab11717ec8c1a547662646b880e04f1d065938cdcd3ab15a57166bca0216c5c3b3c1f2d8665a918fc895941d00caeb5bd24995686f2747fe3eb5715e948d01e44340544d216a18d344e33530adac8ee15cea74713ab0bd84cbc15f81105fa17429aad19cd47e292867a27e2deb543def05788c29841b5020e505b4cd701d05f6fd94fb4cca1bfd8e19f9d75812a677f86fe279f8223aadc25922a7b7b078dd0f8b3f9fc1dbbd0a156a34fb10550e8a5a90bfd14e20120f1bad26a1e1718e9b941302f135fb2ad7812110d0d729abcac244378e3280bc125ed21399cd260543f19ee897073c4823955bb7bd7a6bf467ce910ddd12fa1965a376c21f5c446ef4826b9273eaca2d1115087c0cff87d7bf177b30baebf0b3249313d7ea971f3d9e75db284a2896d5397714cf6a781c95d9c5caee125b5be739b1d842455eadd3b50f6c2be3c3e0c26f96996a06d831ad95bdde2f35ccf00f93ded93aba7332bd42980fbfcc262113cff2f92bc6b687a70db86b92db2fc3d82a740e663525096a6591a83fd9e009476acaad4503208753d404e4101eae0cee23e3e9b718c79457890d4dd2028286f26e9941c9818ab80d73f347b2fac8a0603f64a5b1dc705fdf01414e2198d323eba2b6955d5d450495618d2f4c7621d88c6153d8f4026b74fed161af9437d02beeb4ff1a5be93e1287c870631dc74eb3b346d350a710aec29f8ff3dd5f86cc7ebae376c8d24ddc3f442c7fba6e033fa0677c8f5048c0dc6e75a93b4cfc84a2a0958ace211d9b5daa8506baec2821d29d87d06f93db9ee1c17a404307f0f42648ba476cfcff2988ce899c5d69b094079ed65d715b841bd379b8e91bc53b4470728953b722ced214777c854e0c0d1bdde9a46652c9637331bd5157068a4591e0b19ebbedb0595565886e908b7fac92da3dc38ff62431687f88e6e630a19fdd867f1ae0bc76f907ab0b63c6443828f7bc0481c92e46792c2f7981bfa3a380b26ede52c193439ff93b8bffadfc3b433f624ea5be9c601208f2a88980489644af6c6bc3b17ff4efdaa21bc0034b6b823e7a3bfa5059db70db7b130b16be6b12e482bc0783f51505a069252d035c267613201b32ce3d9d64266a4ba050258252e61503f98e685301c7da868aef51c31fe9d39dc0a92d704d121159aab44f7c60bf1f3262b43eae64dfdf4f56a92911c6c83c4fedba98e01776fc0c087e4e4d80b28aa6e60fe238816cfd203437d631387fa9f558400655d0043d6213b97a640b2e520d065795a9e2a17c3cc00674582d815fe5b9d6cfa512c9a6f8654a0ff52b088b4d861b3fdb3f6f2f61b2932b1c71d52d1ff0bddb77127358ee57805eb12a4ab8789eb5c2efe76db4fa7566d77430259b3e10e2ae54ef5be2f7e33ccbbd6303771190793e4b344c94cbbba47f0703803bd3c1518aa108e2fc34465994e7b5ce68d2df6b50feb3290b2b31deaea791d9baa3000ba9d85f5f4f2ffa1117d6ccd56bbd79d1d46743b00602dc0625f466ee08946f7c18e30d20dc45db17cb2083a05d4f8746388842912dec5e538b3574df74935a8cb943bab230660d0845309bee6d4fdda3e0acdbe9ce9a5ed076c8ea8c31f3b4d2f35d2939374405b04c2f34d76ce2aaf8d2f5372e9a52c50826d553ef5144773db7259c1a70191a8608b73282b7054a88974ef9e3734046615');
INSERT INTO public.sealed_key VALUES ('refresh', 'k6Z9', '46f42d828b330a8b', '\xbdceeef9154747e7e5c332d913567324d6ab0a989b3eb3e9411bec4eb91da3f40efbacea650945e3ebea08ba66aa986c7896ce89222224f39e0870e0');
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
ALTER TABLE ONLY public.consent
    ADD CONSTRAINT consent_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.client(client_id);
ALTER TABLE ONLY public.consent
    ADD CONSTRAINT consent_subject_fkey FOREIGN KEY (subject) REFERENCES public.user_account(subject);
ALTER TABLE ONLY public.user_role
    ADD CONSTRAINT user_role_role_fkey FOREIGN KEY (role) REFERENCES public.role(name);
ALTER TABLE ONLY public.user_role
    ADD CONSTRAINT user_role_subject_fkey FOREIGN KEY (subject) REFERENCES public.user_account(subject);
