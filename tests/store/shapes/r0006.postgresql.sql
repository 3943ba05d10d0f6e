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
INSERT INTO public.client VALUES ('web', 'Web', '[]', '["password", "refresh_token"]', '["orders:read"]', '["https://app.example"]', 'orders', true, true, false, '2026-11-01 12:30:00+00', '["https://app.example/cb"]', '["https://app.example/"]', true, 'private_key_jwt', 'CN=web', 'pairwise', 'app.example', 'ES256', 'ES256', 'https://app.example/out', '', 'fapi2', false, true, true, true, true, true, true, '[{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]', '["query"]');
INSERT INTO public.compatibility VALUES (1, 'r0002');
INSERT INTO public.consent VALUES ('a1b2c3', 'web', '["orders:read"]', 1, '2026-11-01 12:30:00+00');
INSERT INTO public.feed_head VALUES (1, 'pX0cAbt3Qz1k', 1);
INSERT INTO public.initial_access_token VALUES ('efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef', 'partners', '{"scopes": ["orders:read"]}', 3, '2026-11-01 12:30:00+00', '2036-01-01 00:00:00+00');
INSERT INTO public.keyring VALUES (1, '3PkkGe_8-2ks-Iv8', 1, '{
 "version": 1,
 "signing": [
  {
   "kid": "1C5xYFAyFHEdkSAcEYxdwI3H2iMAM77_nReIbodPDHM",
   "state": "current",
   "public": {
    "kty": "RSA",
    "n": "uXhvSINEZYTv6iwSRpJAW4RJn1wd_vwzNznPHCIbIz049_7lKFSladjRiAPSNA1-ZfZRjZd--yx4kmz5xaJQFDRXtB6qTUjFZah1v0zz3PstyFY_Dbb3rt8okgWoeM5J_UKycj1VDQccDrJO_yw4aITeFtJZRVKUp4P79G5atArXNoYEkqNCb4Tl7DfjEl2MAegPclXSuPSjzCvob9h1AMR0toRIxihALWsWcPOgqMT6ytJNW8cTAgLer9T5VN056I77sS19j7raquU9zazY48qeTebvc8bo5-_H9vuHnQnqnVbPHsw3whUV2IMg0JQZQJAeat_beHeumLc9z_sMFw",
    "e": "AQAB",
    "kid": "1C5xYFAyFHEdkSAcEYxdwI3H2iMAM77_nReIbodPDHM",
    "use": "sig",
    "alg": "RS256"
   },
   "created_at": 1793536200,
   "promoted_at": 1793536200,
   "replaced_at": null
  },
  {
   "kid": "0u4d6FO0YDV7A10Kc0z4sO_SzN-0wkVqmtfhwIVANRE",
   "state": "next",
   "public": {
    "kty": "RSA",
    "n": "t1k2Tha3aSqb9Qt3yf45XkAQF8Xl2iyBL9VoHxdjvvfC8bMr-WJ8nKvwOrGJ2gaUcpWF6_6PoO8o12tjSlkETAd3aQeSqi2htdGtGuNKvZfZd0OasAGZsBHkKL1TuHI_ZBDk3iMbOHxIvvzh4nP8wAokHSjXcN83NcFy4sY4l2sLNcmJFKqT_nab2fx63xNIjpVTZKcSxooqx50w54cEHLEmnlxX5Zoq3RPPLb1mtXHq-ShdWPFq7O6G1IAwjEMjq1m5pS4gosK-ZOEEVfAr89cutHaW4f3Ff9e1aNwCLOTk9ApyUxVbaoLKd2Cxqe_lwfUeZO80mLyNBeBHDrh0zw",
    "e": "AQAB",
    "kid": "0u4d6FO0YDV7A10Kc0z4sO_SzN-0wkVqmtfhwIVANRE",
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
   "key_id": "6k2T",
   "created_at": 1793536200
  }
 ],
 "moved_to": ""
}', '46f42d828b330a8b', '\x2ec37224bd05bd6eaf568d317df6d9892d7ddcad5150500a710b2855');
INSERT INTO public.logout_notice VALUES ('n1', 'web', 'a1b2c3', 's1', 2, 4000000000, 3999999000);
INSERT INTO public.resource VALUES ('orders', 'https://orders.example', '["orders:read"]', 'JWT', '["abababababababababababababababababababababababababababababababab"]', false, 'ES256');
INSERT INTO public.revocation_rule VALUES (1, 'grant_id', '\xf5c3f6bb1b26bf7c72699181aa4a5b40', 'k3y0vJt5mXyQ2bR8cPzLwN4sDg', true, 4000000000, 4000000000);
INSERT INTO public.role VALUES ('reader', '["orders:read"]');
INSERT INTO public.sealed_key VALUES ('signing', '1C5xYFAyFHEdkSAcEYxdwI3H2iMAM77_nReIbodPDHM', '46f42d828b330a8b', '\x0a695672dad3f00ef60631b9c9fa6ad70e9e332900e2866a239d07999426fcb6ead15f05758da49bb894eb496946c20e1d27c22e446c08945e33200895acaa1bc2ad0f805bfe182b40ea53d6aa403e82a1a2b557821a0d069586182018f56f0a94070d564e187a781e228e8091107fbaf370b3ed2f54fadad275e839feb52e033e4bd5065ea6d8139c509b1db681ddcb9b375cce69e729a3a546ce0b36c9fdb13dcea43ea6315275f809566bcfbd895851323fced42a1e8e0b5df126a94a45f3a0765b2411bee485f7b5da862e6351607d3c0a35e2b476d19da6c40b36f764727da21bee8e6127443698caa46b2b3ad169e009f0e8625f9552451e01cb3e977fe3f601fd0f47b64cc60a506bcfb428b9b1171bede4401b6fe28920bf19be637eebf29378730a0e5bc6243603b7d928de3e8a005464d84dab45cea140beccf27fe7e7af435a0308d5289fe4aaa243ff408a8f188197b7a1b3c127c440eef7e7c7bfecabbe20a363fa2121d96e5c9243b1581e09b7fa66d4297ac191e0361cc936a11ba90d7d68133a1f9d0fa8928136fb46d4e1f846361a105c2f46979a1b7d4a5f5a3e35f56ce269b01d842598a9662ec2043f1d71d3d080e75e890f1d1528886ce65da9b285eb5ff7a6bc23c5bb2a7d0f70ab34fdfa1479c0ea7b971ce8b539208dfb042453ad21a88af6fe5ff73b505bdc257ecf961e2f852eac9d5e7644b7a85e7086016020cc3102f8761f128a3eaabfd5781d97d4fd02dfe345eb87e5095a72882c516f8f1970b2810ef3a587058d7affcb992f9b00707ac4431b6e200a603315a1bb0847aff94207179e7bff7e03070e0b22f020b89f5391d11071da3e4daac73b7b3f300c90190e3aa460d294b51957c73a79a9ce0810088bf34d5dd79d59dfebe28a36725ae1e35c80ae6459b74bca200342697aa14322264894c08a174de3f6bc3ab8556c39cd391daa169d573dbfdfa6dbceb71549c60c8c17041b7cb79f9a54bbf190d48136feb57328991e3fe4296d0833fc241f8552ce48949bee4a5e05732c7b5622f6891cbe4c0a8cca7977066ff2f20262a92a469fafadc4bf5a320eb688dc00a621b518e7d4f9834166f75bd4dab656fe564890629fc64895cbdce4596245712219e337eca01082cb298ad4155e8b405a96017005eb29dd18a24223e02b3b7d05085e16e4c6ee176fa05f7c3a99b5935c02002d10e435b4857c711ed68d28b2654fa11e47b54c28a02b6da70174f726bd03cce1fd745da4bb3b2079302df26500ec335784629c0c75f2b68fe538b6b28a7e6cab8eed24f8bf0e338193803047bac1a5da9d0bb20e0fe20edf28978f0f107a940ea56361529fce181d067a36e2417e0dd38277260f4fcb138300df8b2b812667a0e9c75f088b59956d2b186dca0cc86f1ce3e16fa03e6f83c8c965895c9c3b200498492278846b4e5746c821cef03a26820460a37dad00b491f5b6d18b7d6c5e0237ad0d963773bb8e409d22351c530e3ed744d04e679047dc2ae16b854d8c79b89ff29b92acad2cc69bcf24558cb5456a0749118236a8017827d0b1a9a5b8f31a9940a32ecd552a28eba610a4b554905da05c5d7310716dafa2d9b049cfa2fd20d883f0f55f3de4ca60e689f52073800b0f311eb198e435387a78c0649cc36ba592fc1d1270d94b1d21e1a30fb506c1ddbbc7a5a2411fed727d7750d0a79c538e98c21d99a7723672a8b421e4003e7cfea1870625d46bc7f89e243702f73e497ad5');
INSERT INTO public.sealed_key VALUES ('signing', '0u4d6FO0YDV7A10Kc0z4sO_SzN-0wkVqmtfhwIVANRE', '46f42d828b330a8b', '\x47d9ad46fca6a85b6c95a6b08caacb3e11d143bbeb92b94946ba2c096973cf7cb05753373501ec68782013a6b38a82f7ec7146066f8f208e4286e0c0d7364bbb7a5da2c9594d1986a0ab4b474a6ab8d88e9a310f0d0b1d4cb19d96dcf4925017172e5e9471d61a4d8875d57a21f88e068377439e4c2218a6659fd73a375c7fc72f6d4765c80c0a2145f33ee0182e63498aa54b4ea51627e124397e9c831138742c71b7028f0f537f7cd5d7d93850bcd51c94e24de3d8ab6f51ff0dac19572e7e52862d32af351c1ba4d29644128aeeecce04e9b785ce8c5bf61578763d26bd6cdc66b7fb99efef18bb3d950ec8ae5b775b026b7cead81f22976b0189a547e9de665a16b9a92bb6ad0bbc12aa5b4f56552b3b5c3bbefe43ceb732f91ca6ede4abd976d1a63872dd55a58b2896ed58695a5a31bfd27cf3a5f85396662535df9793fab375f16300c26f0c8f4c6f89a7275be4c68c8a3b85469eb3cb827787fa102b10a841311512e7cc60ba14b99afe9bc8b8088da6a22ff77799291935228b319b70f3c4213177da58a9cdf654b5f067f5944a4eb9e7db0b819bee70e42dd12f10699122d3f9e7aa5bcdfba804322d98f9a8704fd0914765f27f8d5446e93533fefde68c54625b43fd1955f4c4ec72f498880651ed1545c81d40bcc90b065af56eb33c019b1b04e06325557587d08a4cecdc63647983b8c6149f36c39b7f3dfda937557d41d8a8e2404fde6f42b67b738c419c97327ad5c1d3804eb04074195f85387b90b3102c36bd09b556902e078134c327b3b84d1e8768e303e43ffd63bc88bdd45547498fb5c056345ce37ff96fcae6aa50b57f33f2898723f785a459a3cfea1b7117c8d204cef141befcfaa71acb137aa123715eabab91347f671d546c4700894f1327080c914d4d04308e1a86483b29436f1f45e3bd1318c32a1250a398c886138e9db66b893c904f6c13cff1ff440ad0372bf2740e2b9edf3e12bb861fb264a6e4e99b724ceb781cf6a598bf6c84487d79fabe4d42d2d9827bf834d344580b2b218c6a901af0a37a98cd38b8756c08bee8a8b434a125e5a4ab2b3aca4c81cc6e2de7e53d7d2d804065091dcaaee05759481b878197ed97e7bd22e4e1c2926a3bedc8bc0af7a8bc39118eb40e516ea525301338d4b0c5c2252f76337c496631421b4711ff1d2176fe4597a9f4a433d7fc0381b66dc93860e5e912df78e2beb4ca717fc8cffbab7cc35344823ae4919486c5a104e90beb8a6800aa3948c8545db39f864e2cb75cdbc15faed6abfeb7eaef2c87ac2e07f06994894bc6325fe6bb636fd86d27d73b38c9a240899e814d5c27fca8bf92245687de280eb78ddfcd6c679e9143a8041a919b610dc55f0722a9b4c37b2c991a8d847b7633b50c86d07ae1b82a7bab00fbaf0c544ff93f58cb6df81d18b3e233901a06ba760fc48ba3926db921502abac4f82ee044bc4da9f6c79ec458c89d7234500ad5b8fa4d14d31bc5ab66b0b41e712e2ad24dda190d25563c8f7fa56d2708eb2f0bef569ed79cba65753d97ab3c66dc2e50dbaabcdc7cfb844a88c2854d608e0aa129e71477cfe794e64430ce32ec6ea1622b76e679768b1d4f163aadfe830e529a5442b3b85d89e96bda29aa0cb4c303a37c7adecc564784fe4e99a1d0f9c68d0282070fddffb8b68723be67248a44ea42e6532e19c09da429e87847488ded3b4cbcc63a464ee703caf99cb31744bc38ca079525b7fb3b7ca6177c4aa7e1407bdb12');
INSERT INTO public.sealed_key VALUES ('refresh', '6k2T', '46f42d828b330a8b', '\x2e2f1f6698578a4ba1762698a3285ee3e42f1256e8442d137f3b0d82ee07826925aa6c43d95050e58e2727e8ef95e6b0f738e2b3dd28cc1edd76d903');
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
