/** Fills a cluster with other users' objects, many of which look like meshproof's: for canary.e2e.ts. */

/** Id of a dead run that never existed. */
export const OTHER_RUN = "20260101-000000-aaaa";

/** Label on all of them, so that one request finds them. */
export const CANARY_LABEL = "canary.example";

interface Canary {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly finalizers?: readonly string[];
  };
  readonly [field: string]: unknown;
}

const OURS = { "app.kubernetes.io/managed-by": "meshproof", "meshproof.dev/run": OTHER_RUN };
const NOBODY = { matchLabels: { app: "nobody" } };

type Body = Readonly<Record<string, unknown>>;

/** Objects in a namespace, of kinds that no controller changes and that select no pod. */
const KINDS: readonly (readonly [apiVersion: string, kind: string, body: Body])[] = [
  ["v1", "ConfigMap", { data: { k: "v" } }],
  ["v1", "Secret", { stringData: { password: "theirs" } }],
  ["v1", "ServiceAccount", {}],
  ["v1", "Service", { spec: { selector: { app: "nobody" }, ports: [{ port: 80 }] } }],
  ["v1", "LimitRange", { spec: { limits: [] } }],
  ["apps/v1", "Deployment", deployment()],
  ["rbac.authorization.k8s.io/v1", "Role", { rules: [] }],
  ["rbac.authorization.k8s.io/v1", "RoleBinding", { roleRef: roleRef("Role", "x"), subjects: [] }],
  ["networking.k8s.io/v1", "NetworkPolicy", { spec: { podSelector: NOBODY } }],
  ["coordination.k8s.io/v1", "Lease", { spec: { holderIdentity: "theirs" } }],
  ["security.istio.io/v1", "AuthorizationPolicy", { spec: { selector: NOBODY, action: "DENY", rules: [{}] } }],
  ["security.istio.io/v1", "RequestAuthentication", { spec: { selector: NOBODY, jwtRules: [] } }],
  ["security.istio.io/v1", "PeerAuthentication", { spec: { selector: NOBODY } }],
  ["networking.istio.io/v1", "VirtualService", { spec: { exportTo: ["."], hosts: ["x.example"], http: [route()] } }],
  ["networking.istio.io/v1", "DestinationRule", { spec: { exportTo: ["."], host: "x.example" } }],
  ["networking.istio.io/v1", "ServiceEntry", { spec: { exportTo: ["."], hosts: ["x.example"], ports: [port()] } }],
  [
    "networking.istio.io/v1",
    "Gateway",
    { spec: { selector: NOBODY.matchLabels, servers: [{ hosts: ["x.example"], port: port() }] } },
  ],
  ["telemetry.istio.io/v1", "Telemetry", { spec: { selector: NOBODY } }],
];

const CLUSTER_WIDE: readonly (readonly [apiVersion: string, kind: string, body: Body])[] = [
  ["rbac.authorization.k8s.io/v1", "ClusterRole", { rules: [] }],
  ["rbac.authorization.k8s.io/v1", "ClusterRoleBinding", { roleRef: roleRef("ClusterRole", "x"), subjects: [] }],
  ["scheduling.k8s.io/v1", "PriorityClass", { value: 1 }],
];

/** The kinds of {@link canaries}, in kubectl's format. */
export const CANARY_KINDS = [["v1", "Namespace"] as const, ...KINDS, ...CLUSTER_WIDE]
  .map(([apiVersion, kind]) => {
    const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
    return group === "" ? kind.toLowerCase() : `${kind.toLowerCase()}.${version}.${group}`;
  })
  .join(",");

/** All objects, in an order in which they can be created. */
export function canaries(): Canary[] {
  const namespaces: readonly (readonly [name: string, labels: Readonly<Record<string, string>>])[] = [
    ["meshproof", {}],
    ["meshproof-runs", { "app.kubernetes.io/managed-by": "meshproof" }],
    [`meshproof-${OTHER_RUN}`, OURS],
    [`meshproof-${OTHER_RUN}-outside`, OURS],
    ["prod", { "istio-injection": "enabled" }],
  ];
  const object = (apiVersion: string, kind: string, name: string, more: object, body: Body): Canary => ({
    apiVersion,
    kind,
    ...body,
    metadata: { name, labels: { [CANARY_LABEL]: "yes" }, ...more },
  });
  const labelled = (labels: Readonly<Record<string, string>>) => ({ labels: { ...labels, [CANARY_LABEL]: "yes" } });
  const places = [...namespaces.map(([name]) => name), "default"];
  return [
    ...namespaces.map(([name, labels]) => object("v1", "Namespace", name, labelled(labels), {})),
    ...places.flatMap((namespace) =>
      KINDS.flatMap(([apiVersion, kind, body]) => [
        object(apiVersion, kind, "own", { namespace }, body),
        // With the name, labels and a nonce like those of a run.
        object(
          ...([apiVersion, kind, `meshproof-${kind.toLowerCase()}`] as const),
          { namespace, ...labelled(OURS), annotations: { "meshproof.dev/nonce": "00000000000000000000000000000000" } },
          body,
        ),
      ]),
    ),
    ...["jwt-example", "root", "httpbin"].map((name) =>
      object(
        "security.istio.io/v1",
        "RequestAuthentication",
        name,
        { namespace: "prod", ...labelled(OURS) },
        {
          spec: { selector: NOBODY, jwtRules: [] },
        },
      ),
    ),
    object(
      "security.istio.io/v1",
      "AuthorizationPolicy",
      "theirs",
      { namespace: "istio-system", ...labelled(OURS) },
      {
        spec: { selector: NOBODY },
      },
    ),
    object(
      "v1",
      "ConfigMap",
      "held",
      { namespace: "prod", ...labelled(OURS), finalizers: ["canary.example/held"] },
      {},
    ),
    ...CLUSTER_WIDE.flatMap(([apiVersion, kind, body]) =>
      ["a", "b"].map((name) => object(apiVersion, kind, `canary-${name}`, labelled(name === "a" ? {} : OURS), body)),
    ),
  ];
}

/** A forged journal that names other users' objects by their uids. */
export function plantedJournal(victims: readonly { readonly kind: string; readonly uid: string }[]): Canary {
  const records = victims.map(({ kind, uid }) => ({
    apiVersion: "v1",
    kind,
    name: kind === "Namespace" ? "prod" : "own",
    ...(kind === "Namespace" ? {} : { namespace: "prod" }),
    nonce: "00000000000000000000000000000000",
    uid,
  }));
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: `meshproof-journal-${OTHER_RUN}`,
      namespace: "default",
      labels: { ...OURS, "meshproof.dev/journal": "run", [CANARY_LABEL]: "yes" },
    },
    data: {
      head: JSON.stringify({ run: OTHER_RUN, namespaces: [`meshproof-${OTHER_RUN}`] }),
      ...Object.fromEntries(records.map((record, index) => [`k${index}`, JSON.stringify(record)])),
    },
  };
}

function deployment(): Body {
  const labels = { app: "nobody" };
  const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "nothing" }] } };
  return { spec: { replicas: 0, selector: { matchLabels: labels }, template } };
}

function roleRef(kind: string, name: string): Body {
  return { apiGroup: "rbac.authorization.k8s.io", kind, name };
}

function route(): Body {
  return { route: [{ destination: { host: "x.example" } }] };
}

function port(): Body {
  return { number: 80, name: "http", protocol: "HTTP" };
}
