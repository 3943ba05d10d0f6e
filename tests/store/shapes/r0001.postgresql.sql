CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
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
ALTER TABLE ONLY public.feed_head ALTER COLUMN id SET DEFAULT nextval('public.feed_head_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('r0001');
INSERT INTO public.audit_event VALUES (7, '2026-11-01 12:30:00+00', 'token.revoked', 'web', 'a1b2c3', 'web', 'k3y0vJt5mXyQ2bR8cPzLwN4sDg', '192.0.2.1', '');
INSERT INTO public.client VALUES ('web', 'Web', '[]', '["password", "refresh_token"]', '["orders:read"]', '["https://app.example"]', 'orders', true, true, false, '2026-11-01 12:30:00+00');
INSERT INTO public.feed_head VALUES (1, 'pX0cAbt3Qz1k', 1);
INSERT INTO public.resource VALUES ('orders', 'https://orders.example', '["orders:read"]', 'JWT', '["abababababababababababababababababababababababababababababababab"]', false);
INSERT INTO public.revocation_rule VALUES (1, 'grant_id', '\xf5c3f6bb1b26bf7c72699181aa4a5b40', 'k3y0vJt5mXyQ2bR8cPzLwN4sDg', true, 4000000000, 4000000000);
INSERT INTO public.role VALUES ('reader', '["orders:read"]');
INSERT INTO public.user_account VALUES ('a1b2c3', 'Zoë', 'zoë', '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$Zm9vYmFy', true, false, '2026-11-01 12:30:00+00');
INSERT INTO public.user_role VALUES ('a1b2c3', 'reader');
SELECT pg_catalog.setval('public.audit_event_id_seq', 1, false);
SELECT pg_catalog.setval('public.feed_head_id_seq', 1, false);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.audit_event
    ADD CONSTRAINT audit_event_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.client
    ADD CONSTRAINT client_pkey PRIMARY KEY (client_id);
ALTER TABLE ONLY public.feed_head
    ADD CONSTRAINT feed_head_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.resource
    ADD CONSTRAINT resource_identifier_key UNIQUE (identifier);
ALTER TABLE ONLY public.resource
    ADD CONSTRAINT resource_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.revocation_rule
    ADD CONSTRAINT revocation_rule_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.role
    ADD CONSTRAINT role_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.user_account
    ADD CONSTRAINT user_account_pkey PRIMARY KEY (subject);
ALTER TABLE ONLY public.user_account
    ADD CONSTRAINT user_account_username_key_key UNIQUE (username_key);
ALTER TABLE ONLY public.user_role
    ADD CONSTRAINT user_role_pkey PRIMARY KEY (subject, role);
CREATE INDEX ix_audit_event_at ON public.audit_event USING btree (at);
CREATE INDEX ix_revocation_rule_digest ON public.revocation_rule USING btree (digest);
CREATE INDEX ix_revocation_rule_kept_until ON public.revocation_rule USING btree (kept_until);
ALTER TABLE ONLY public.client
    ADD CONSTRAINT client_default_resource_fkey FOREIGN KEY (default_resource) REFERENCES public.resource(name);
ALTER TABLE ONLY public.user_role
    ADD CONSTRAINT user_role_role_fkey FOREIGN KEY (role) REFERENCES public.role(name);
ALTER TABLE ONLY public.user_role
    ADD CONSTRAINT user_role_subject_fkey FOREIGN KEY (subject) REFERENCES public.user_account(subject);
