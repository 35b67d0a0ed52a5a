meshproof repro docs/examples/tickets/star-inside --expect 200 --curl "curl --cacert ca.crt https://jwt.tif.example.com/service/123health"
