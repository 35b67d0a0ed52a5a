meshproof repro test/tickets/opaque-token-corrected --expect 200 --curl "curl http://basket.shop/ -H 'Authorization: Bearer 1b2c-made-up-session'" --from shop/basket
