meshproof repro test/tickets/gateway-api-waypoint --expect 403 --curl 'curl http://shop.shop/'
