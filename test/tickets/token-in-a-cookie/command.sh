meshproof repro test/tickets/token-in-a-cookie --expect 200 --curl "curl http://shop.example/ -b 'session=\$TOKEN'" --claims '{"iss":"https://idp.shop.example","sub":"u"}'
