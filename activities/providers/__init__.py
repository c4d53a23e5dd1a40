"""Mail, SMS, documents, calendar, webhooks: one small protocol each, one adapter a file."""
