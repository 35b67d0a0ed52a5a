meshproof repro docs/examples/waypoints/policy-in-another-namespace --expect 403 --from web/other \
  --request 'GET http://orders.shop:8080/'
