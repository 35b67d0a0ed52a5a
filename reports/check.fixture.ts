/** A report of `meshproof check` with each kind of finding. */

import type { Checked, CheckReport } from "../harness/model/check.ts";

const at = (file: string, line: number) => ({ file, line, column: 5 });
const policy = { kind: "AuthorizationPolicy", namespace: "foo", name: "orders" };
const checked = (name: string, column: number, fields: Partial<Checked>): Checked => ({
  ...{ name, position: at("s/scenario.yaml", 9) },
  request: { from: "sleep", to: "orders", method: "GET", path: "/orders", token: column === 0 ? "none" : "valid" },
  expected: { status: 200, by: "workload" },
  ...{ status: "agrees", how: "evaluated", got: { by: "workload" }, cell: { matrix: 0, row: 0, column } },
  ...fields,
});

export const REPORT: CheckReport = {
  ...{ kind: "meshproof-check", version: 1, istio: "1.31.0", envoy: "1.40.0" },
  counts: { agrees: 1, differs: 1, undecided: 1 },
  coverage: {
    percent: 50,
    parts: [
      { kind: "rule", object: policy, field: "spec.rules[0]", position: at("deploy/my orders.yaml", 30), decisive: 2 },
      {
        ...{ kind: "condition", object: policy, field: "spec.rules[0].to[0].operation.paths" },
        ...{ position: at("deploy/my orders.yaml", 33), decisive: 0 },
      },
    ],
  },
  shadowed: [
    { object: policy, rule: 1, position: at("deploy/my orders.yaml", 40), by: ["ns[foo]-policy[orders]-rule[0]"] },
  ],
  neverMatches: [
    {
      ...{ object: policy, field: "spec.rules[0].to[0].operation.ports[0]", value: "80", because: "service-port" },
      position: at("deploy/my orders.yaml", 35),
    },
  ],
  scenarios: [
    {
      ...{ id: "shop/orders", title: "t", position: at("s/scenario.yaml", 1) },
      steps: [
        {
          ...{
            name: "tokens decide",
            position: at("s/scenario.yaml", 7),
            assumed: [{ kind: "keys-fetched", issuer: "i" }],
          },
          matrices: [{ title: "", rows: ["/orders"], columns: ["none", "valid", "other"] }],
          objects: [{ ...policy, position: at("deploy/my orders.yaml", 28) }],
          checks: [
            checked("/orders none", 0, {
              ...{ status: "differs", got: { by: "authorization", status: 403 } },
              explanation: {
                decision: {
                  ...{ verdict: "denied", status: 403, by: "authorization" },
                  reason: { kind: "not-allowed", rules: [] },
                },
                ...{ filtersAsked: true, tokensAsked: false, path: "/orders", providers: [] },
                rules: [
                  {
                    ...{
                      name: "ns[foo]-policy[orders]-rule[0]",
                      policy: { namespace: "foo", name: "orders" },
                      index: 0,
                    },
                    ...{ action: "ALLOW", dryRun: false, matched: false, conditions: [] },
                  },
                ],
              },
            }),
            checked("/orders valid", 1, {}),
            (({ got: _, ...rest }) => ({ ...rest, status: "undecided", missing: { kind: "waypoint" } }))(
              checked("/orders other", 2, {}),
            ),
          ],
        },
      ],
    },
  ],
};
