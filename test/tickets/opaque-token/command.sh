meshproof repro test/tickets/opaque-token --curl "curl http://basket.sales/ -H 'Authorization: Bearer 9d8f-made-up-session'"
