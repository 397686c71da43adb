"""The evidence store, a program of its own. README.md beside this says what it promises and how it is used.

Whose job is it? From outside in:

    commands, wiring       cli…  app  config
    people                 view/
    courts                 court/
    deeds about objects    breakglass/  quarantine/  screening/  keeping/  custody/  media/
    telling others         webhooks/  notify/  mirrors/ (of the ledger's checkpoints)
    bytes in and out       uploads/  objects/  intake/  nodes/  grants  kinds
    who may, who did       access  admission/  tokens  repeats  reads  refusals
    HTTP                   app_keys  asked  answers  problems  heads  unreadable  cursors  schemas  openapi…  views_…
    operators' long tasks  backup  rotate  scrub  headers  verify…  doctor  progress  plural
    the ledger             ledger  merkle  vouching (for what a row says of an object)
    where bytes lie        backend/  sealing/ (every key, cipher and hash)
    rows that wait         seals (over them)  waiting (which are believed)
    underneath             store  storage  database  migrations/  model  errors  clock  log

Other programs import client and errors, and what else tests/house.py allows.
"""
