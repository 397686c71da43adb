"""Text messages: the safe-contact gate, wording, outbox, reminders, the provider."""
