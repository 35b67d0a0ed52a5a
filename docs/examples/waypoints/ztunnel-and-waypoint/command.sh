meshproof repro docs/examples/waypoints/ztunnel-and-waypoint --expect 200 --from web/frontend \
  --request 'GET http://orders.shop:8080/'
