meshproof repro test/tickets/token-in-a-cookie-corrected --expect 200 --curl "curl http://shop.example/ -b 'session=\$TOKEN'" --claims '{"iss":"https://idp.shop.example","sub":"u"}'
