CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'Table % is append-only: % is refused. What is wrong is corrected by a new entry.',
    TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TABLE accounts (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  currency TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  owner TEXT COLLATE "C",
  balance BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  CONSTRAINT pk_accounts PRIMARY KEY (merchant_id, id)
) WITH (fillfactor = 70);

CREATE TABLE api_keys (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  hash TEXT COLLATE "C" NOT NULL,
  last4 TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  revoked_ms BIGINT,
  CONSTRAINT pk_api_keys PRIMARY KEY (merchant_id, id)
);

CREATE UNIQUE INDEX ix_api_keys_hash ON api_keys (merchant_id, hash);

CREATE TABLE charges (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  payment_intent TEXT COLLATE "C" NOT NULL,
  amount BIGINT NOT NULL,
  currency TEXT COLLATE "C" NOT NULL,
  channel TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  captured BOOLEAN NOT NULL,
  amount_captured BIGINT NOT NULL,
  amount_refunded BIGINT NOT NULL,
  fee BIGINT NOT NULL,
  customer TEXT COLLATE "C",
  description TEXT COLLATE "C",
  payment_method TEXT COLLATE "C",
  method_details JSONB NOT NULL,
  operation TEXT COLLATE "C",
  channel_ref TEXT COLLATE "C",
  failure_code TEXT COLLATE "C",
  failure_message TEXT COLLATE "C",
  decline_code TEXT COLLATE "C",
  order_id TEXT COLLATE "C",
  metadata JSONB NOT NULL,
  CONSTRAINT pk_charges PRIMARY KEY (merchant_id, id)
) WITH (fillfactor = 80);

CREATE INDEX ix_charges_merchant_id_payment_intent ON charges (merchant_id, payment_intent);

CREATE TABLE checkout_sessions (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  order_id TEXT COLLATE "C" NOT NULL,
  currency TEXT COLLATE "C" NOT NULL,
  amount_total BIGINT NOT NULL,
  success_url TEXT COLLATE "C" NOT NULL,
  expires_ms BIGINT NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  cancel_url TEXT COLLATE "C",
  customer TEXT COLLATE "C",
  customer_email TEXT COLLATE "C",
  client_reference_id TEXT COLLATE "C",
  locale TEXT COLLATE "C",
  payment_method_types JSONB NOT NULL,
  payment_intent TEXT COLLATE "C",
  intent_data JSONB NOT NULL,
  own_order BOOLEAN NOT NULL,
  metadata JSONB NOT NULL,
  CONSTRAINT pk_checkout_sessions PRIMARY KEY (merchant_id, id)
);

CREATE INDEX ix_checkout_sessions_merchant_id_order_id ON checkout_sessions (merchant_id, order_id);

CREATE TABLE customers (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  version BIGINT NOT NULL,
  name TEXT COLLATE "C",
  email TEXT COLLATE "C",
  phone TEXT COLLATE "C",
  description TEXT COLLATE "C",
  metadata JSONB NOT NULL,
  deleted BOOLEAN NOT NULL,
  CONSTRAINT pk_customers PRIMARY KEY (merchant_id, id)
);

CREATE TABLE events (
  merchant_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  type TEXT COLLATE "C" NOT NULL,
  object_type TEXT COLLATE "C" NOT NULL,
  object_id TEXT COLLATE "C" NOT NULL,
  object_version BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  snapshot TEXT COLLATE "C" NOT NULL,
  request_id TEXT COLLATE "C",
  CONSTRAINT pk_events PRIMARY KEY (merchant_id, seq)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE idempotency_keys (
  merchant_id TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  input_hash TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  reply TEXT COLLATE "C",
  CONSTRAINT pk_idempotency_keys PRIMARY KEY (merchant_id, key)
);

CREATE INDEX ix_idempotency_keys_merchant_id_created_ms ON idempotency_keys (merchant_id, created_ms);

CREATE TABLE jobs (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  run_at_ms BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  CONSTRAINT pk_jobs PRIMARY KEY (merchant_id, id)
) WITH (fillfactor = 80);

CREATE INDEX ix_jobs_run_at_ms_merchant_id ON jobs (run_at_ms, merchant_id);

CREATE TABLE lanes (
  merchant_id TEXT COLLATE "C" NOT NULL,
  event_seq BIGINT NOT NULL,
  CONSTRAINT pk_lanes PRIMARY KEY (merchant_id)
) WITH (fillfactor = 50);

CREATE TABLE merchants (
  merchant_id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  livemode BOOLEAN NOT NULL,
  twin_id TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  country TEXT COLLATE "C" NOT NULL,
  default_currency TEXT COLLATE "C" NOT NULL,
  name_zh TEXT COLLATE "C",
  CONSTRAINT pk_merchants PRIMARY KEY (merchant_id)
);

CREATE TABLE notices (
  merchant_id TEXT COLLATE "C" NOT NULL,
  channel TEXT COLLATE "C" NOT NULL,
  external_id TEXT COLLATE "C" NOT NULL,
  operation TEXT COLLATE "C" NOT NULL,
  fact TEXT COLLATE "C" NOT NULL,
  received_ms BIGINT NOT NULL,
  CONSTRAINT pk_notices PRIMARY KEY (merchant_id, channel, external_id)
);

CREATE TABLE operations (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  channel TEXT COLLATE "C" NOT NULL,
  payment_intent TEXT COLLATE "C" NOT NULL,
  charge TEXT COLLATE "C" NOT NULL,
  amount BIGINT NOT NULL,
  currency TEXT COLLATE "C" NOT NULL,
  refund TEXT COLLATE "C",
  state TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  ref TEXT COLLATE "C",
  tries BIGINT NOT NULL,
  next_check_ms BIGINT,
  reason TEXT COLLATE "C",
  conflicts JSONB NOT NULL,
  idempotency_key TEXT COLLATE "C",
  CONSTRAINT pk_operations PRIMARY KEY (merchant_id, id)
);

CREATE INDEX ix_operations_merchant_id_charge ON operations (merchant_id, charge);

CREATE TABLE orders (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  currency TEXT COLLATE "C" NOT NULL,
  amount_total BIGINT NOT NULL,
  line_items JSONB NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  amount_paid BIGINT NOT NULL,
  amount_refunded BIGINT NOT NULL,
  amount_overpaid BIGINT NOT NULL,
  amount_late BIGINT NOT NULL,
  customer TEXT COLLATE "C",
  description TEXT COLLATE "C",
  expires_ms BIGINT,
  overpayment TEXT COLLATE "C" NOT NULL,
  late_payment TEXT COLLATE "C" NOT NULL,
  paid_ms BIGINT,
  canceled_ms BIGINT,
  metadata JSONB NOT NULL,
  CONSTRAINT pk_orders PRIMARY KEY (merchant_id, id)
) WITH (fillfactor = 80);

CREATE INDEX ix_orders_merchant_id_customer ON orders (merchant_id, customer);

CREATE TABLE payment_intents (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  amount BIGINT NOT NULL,
  currency TEXT COLLATE "C" NOT NULL,
  client_secret TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  capture_method TEXT COLLATE "C" NOT NULL,
  payment_method_types JSONB NOT NULL,
  customer TEXT COLLATE "C",
  description TEXT COLLATE "C",
  metadata JSONB NOT NULL,
  order_id TEXT COLLATE "C",
  payment_method TEXT COLLATE "C",
  latest_charge TEXT COLLATE "C",
  amount_capturable BIGINT NOT NULL,
  amount_received BIGINT NOT NULL,
  next_action JSONB,
  last_payment_error JSONB,
  next_check_ms BIGINT,
  canceled_ms BIGINT,
  cancellation_reason TEXT COLLATE "C",
  receipt_email TEXT COLLATE "C",
  return_url TEXT COLLATE "C",
  statement_descriptor TEXT COLLATE "C",
  CONSTRAINT pk_payment_intents PRIMARY KEY (merchant_id, id)
) WITH (fillfactor = 70);

CREATE INDEX ix_payment_intents_customer ON payment_intents (merchant_id, customer, id);

CREATE INDEX ix_payment_intents_order ON payment_intents (merchant_id, order_id) WHERE order_id IS NOT NULL;

CREATE TABLE payment_methods (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  type TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  customer TEXT COLLATE "C",
  card JSONB,
  token TEXT COLLATE "C",
  channel TEXT COLLATE "C",
  billing_details JSONB NOT NULL,
  metadata JSONB NOT NULL,
  detached BOOLEAN NOT NULL,
  CONSTRAINT pk_payment_methods PRIMARY KEY (merchant_id, id)
);

CREATE INDEX ix_payment_methods_merchant_id_customer ON payment_methods (merchant_id, customer);

CREATE TABLE postings (
  merchant_id TEXT COLLATE "C" NOT NULL,
  account_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  transfer_id TEXT COLLATE "C" NOT NULL,
  side TEXT COLLATE "C" NOT NULL,
  amount BIGINT NOT NULL,
  balance BIGINT NOT NULL,
  CONSTRAINT pk_postings PRIMARY KEY (merchant_id, account_id, seq)
);

CREATE INDEX ix_postings_merchant_id_transfer_id ON postings (merchant_id, transfer_id);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE refunds (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  charge TEXT COLLATE "C" NOT NULL,
  payment_intent TEXT COLLATE "C" NOT NULL,
  amount BIGINT NOT NULL,
  currency TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  reason TEXT COLLATE "C",
  failure_reason TEXT COLLATE "C",
  metadata JSONB NOT NULL,
  operation TEXT COLLATE "C",
  next_check_ms BIGINT,
  CONSTRAINT pk_refunds PRIMARY KEY (merchant_id, id)
);

CREATE INDEX ix_refunds_merchant_id_charge ON refunds (merchant_id, charge);

CREATE INDEX ix_refunds_merchant_id_payment_intent ON refunds (merchant_id, payment_intent);

CREATE TABLE transfers (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  currency TEXT COLLATE "C" NOT NULL,
  ref TEXT COLLATE "C" NOT NULL,
  happened_ms BIGINT NOT NULL,
  recorded_ms BIGINT NOT NULL,
  CONSTRAINT pk_transfers PRIMARY KEY (merchant_id, id)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE webhook_attempts (
  merchant_id TEXT COLLATE "C" NOT NULL,
  endpoint_id TEXT COLLATE "C" NOT NULL,
  event_seq BIGINT NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  at_ms BIGINT NOT NULL,
  took_ms BIGINT NOT NULL,
  status BIGINT,
  detail TEXT COLLATE "C" NOT NULL,
  CONSTRAINT pk_webhook_attempts PRIMARY KEY (merchant_id, endpoint_id, event_seq, id)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON webhook_attempts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE webhook_cursors (
  merchant_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  CONSTRAINT pk_webhook_cursors PRIMARY KEY (merchant_id)
);

CREATE TABLE webhook_deliveries (
  merchant_id TEXT COLLATE "C" NOT NULL,
  endpoint_id TEXT COLLATE "C" NOT NULL,
  event_seq BIGINT NOT NULL,
  since_ms BIGINT NOT NULL,
  next_at_ms BIGINT NOT NULL,
  pending_webhooks BIGINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  tries BIGINT NOT NULL,
  last_at_ms BIGINT,
  last_status BIGINT,
  CONSTRAINT pk_webhook_deliveries PRIMARY KEY (merchant_id, endpoint_id, event_seq)
);

CREATE INDEX ix_webhook_deliveries_due ON webhook_deliveries (merchant_id, endpoint_id, next_at_ms, event_seq) WHERE state = 'pending';

CREATE TABLE webhook_endpoints (
  merchant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  created_ms BIGINT NOT NULL,
  url TEXT COLLATE "C" NOT NULL,
  secret TEXT COLLATE "C" NOT NULL,
  enabled_events JSONB NOT NULL,
  created_seq BIGINT NOT NULL,
  version BIGINT NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  description TEXT COLLATE "C",
  metadata JSONB NOT NULL,
  previous_secret TEXT COLLATE "C",
  previous_until_ms BIGINT,
  deleted BOOLEAN NOT NULL,
  CONSTRAINT pk_webhook_endpoints PRIMARY KEY (merchant_id, id)
);
