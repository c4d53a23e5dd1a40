-- Delivery reports of SMS that came before their message was known to be the provider's.

CREATE TABLE sms_report (
    provider VARCHAR NOT NULL,
    provider_id VARCHAR NOT NULL,
    delivery VARCHAR NOT NULL,
    error VARCHAR DEFAULT '' NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_sms_report PRIMARY KEY (provider, provider_id),
    CONSTRAINT ck_sms_report_delivery CHECK (delivery in ('queued', 'sent', 'failed', 'delivered'))
);
