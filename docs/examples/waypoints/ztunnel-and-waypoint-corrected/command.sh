meshproof repro docs/examples/waypoints/ztunnel-and-waypoint-corrected --expect 403 --from web/other \
  --request 'GET http://orders.shop:8080/'
