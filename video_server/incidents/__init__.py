"""An incident, its people, and how they may safely be contacted."""
