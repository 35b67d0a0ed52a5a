/** The files that `meshproof init` writes: a scenario for a repository's own policies, with issuers and a workload in their place. */

import path from "node:path";
import { Document, isMap, isScalar, isSeq, visit } from "yaml";
import { namedValuesOf, renameIn } from "../../harness/policies/names.ts";
import {
  issuerFileOf,
  issuersOf,
  placeOf,
  rulesIn,
  slug,
  type JwtRule,
  type MadeIssuer,
} from "../../harness/repro/issuers.ts";
import { serverManifests, toYaml } from "../../harness/repro/stand-in.ts";
import { expectationsOf, type Needs } from "./expect.ts";
import { standInOf, type FoundObject, type Group, type Repository, type StandIn } from "./find.ts";
import { ROOT_NAMESPACE } from "../../harness/model/cluster.ts";

/** A first scenario, as files by path below the folder of scenarios. */
export interface FirstScenario {
  readonly id: string;
  readonly files: ReadonlyMap<string, string>;
  readonly namespaces: Readonly<Record<string, string>>;
  /** Whether the expectations of the AuthorizationPolicies are left to the user. */
  readonly open: boolean;
}

export interface Around {
  /** The repository's folder. */
  readonly root: string;
  /** The folder of scenarios, absolute. */
  readonly scenarios: string;
  /** Path of the schema, as a scenario's file names it. */
  readonly schema: string;
  /** The issuers that there are already: name by `iss`. */
  readonly issuers: ReadonlyMap<string, string>;
  /** The text of nginx' image. */
  readonly image: string;
}

export function firstScenario(group: Group, repository: Repository, around: Around): FirstScenario {
  const files = new Map<string, string>();
  const needs = expectationsOf(group.authorizations.map(({ object }) => object));
  const objects = [...group.authentications, ...group.authorizations];
  const isAlone = Object.keys(group.selector).length === 0;
  const standIn = isAlone ? undefined : standInOf(group, repository);
  const to = standIn?.name ?? "httpbin";
  const id = `${slug(group.namespace === "" ? "own" : group.namespace)}/${slug(to)}`;
  const [rule] = group.authentications.flatMap(({ object }) => rulesIn([object]));
  const made = issuersOf(
    group.authentications.map(({ object }) => object),
    [],
  ).map((one): MadeIssuer => {
    const known = around.issuers.get(one.iss);
    return { ...one, name: known ?? one.name.replace(/^ticket-/, "") };
  });
  for (const issuer of made)
    if (!around.issuers.has(issuer.iss))
      files.set(
        `issuers/${issuer.name}.yaml`,
        `# Stands for ${JSON.stringify(issuer.iss)}: its keys are made for each run.${issuer.fromJwks ? "" : " Write the kids and algorithms of its real keys."}\n${toYaml(issuerFileOf(issuer))}`,
      );
  if (standIn !== undefined)
    files.set(`workloads/${standIn.name}/${standIn.name}.yaml`, workloadFile(standIn, around.image));
  files.set(`${id}/scenario.yaml`, scenarioFile({ group, id, to, rule, issuer: made[0], needs, around }));
  return { id, files, namespaces: namespacesOf(objects, group.namespace), open: needs === undefined };
}

function workloadFile({ name, labels, serviceAccount, port, portName, targetPort }: StandIn, image: string): string {
  const workload = {
    ...{ namespace: "${ns}", of: "", name, labels, annotations: {}, serviceAccount, sidecar: true },
    ports: [{ containerPort: targetPort }],
  };
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "${ns}" },
    spec: { selector: labels, ports: [{ name: portName, port, targetPort }] },
  };
  const pods = serverManifests(name, workload, new Map([[targetPort, {}]]), [], image);
  return `# In the place of the workload ${name}: pods with its labels and its port, that answer 200 to everything.\n${[service, ...pods].map(toYaml).join("---\n")}`;
}

interface Parts {
  readonly group: Group;
  readonly id: string;
  readonly to: string;
  readonly rule: JwtRule | undefined;
  readonly issuer: MadeIssuer | undefined;
  readonly needs: Needs | undefined;
  readonly around: Around;
}

function scenarioFile({ group, id, to, rule, issuer, needs, around }: Parts): string {
  const folder = path.join(around.scenarios, id);
  const applied = (found: readonly FoundObject[], kind: string): unknown[] =>
    [...new Set(found.map(({ file }) => file))].map((file) => ({
      path: path.relative(folder, path.join(around.root, file)),
      only: found.filter((one) => one.file === file).map(({ object }) => `${kind}/${object.metadata.name}`),
    }));
  const { path: asked = "/headers", method = "GET", claims = {} } = needs ?? {};
  const row = method === "GET" ? asked : `${method} ${asked}`;
  const place = rule && placeOf(rule);
  const audience = rule?.audiences[0];
  const token = {
    issuer: issuer?.name ?? "corp",
    claims: { ...(audience !== undefined && { aud: [audience] }), ...claims },
    ...(place && { in: place }),
  };
  const tokens = {
    valid: token,
    forged: { ...token, signedBy: "unknown-key" },
    expired: { ...token, expiresIn: -3600 },
  };
  const matrix = (none: number, valid: number, bad: number): object => ({
    from: "sleep",
    to,
    columns: ["none", "valid", "forged", "expired"],
    rows: { [row]: [none, valid, bad, bad] },
  });
  const hasRules = group.authentications.length > 0;
  const steps = [
    ...(hasRules
      ? [
          {
            name: "authentication refuses bad tokens only",
            apply: applied(group.authentications, "RequestAuthentication"),
            checks: matrix(200, 200, 401),
          },
        ]
      : []),
    ...(group.authorizations.length > 0
      ? [
          {
            name: "authorization decides who is allowed",
            apply: applied(group.authorizations, "AuthorizationPolicy"),
            checks:
              hasRules || needs === undefined
                ? matrix(needs?.none ?? 403, 200, 401)
                : { from: "sleep", to, columns: ["none"], rows: { [row]: [needs.none] } },
          },
        ]
      : []),
  ];
  const document = new Document(
    {
      apiVersion: "meshproof.dev/v1alpha1",
      kind: "Scenario",
      metadata: {
        name: path.basename(id),
        title: `The policies of ${to} refuse bad tokens and allow good ones`,
        source: [...new Set([...group.authentications, ...group.authorizations].map(({ file }) => file))].join(", "),
        level: "core",
      },
      spec: { workloads: [to, "sleep"], ...(hasRules && { tokens }), steps },
    },
    { aliasDuplicateObjects: false },
  );
  // A token and a row of a matrix are one line each.
  visit(document, {
    Pair: (_, { key, value }) => {
      const name = isScalar(key) ? key.value : "";
      const inner = isMap(value) && (name === "tokens" || name === "rows") ? value.items.map((item) => item.value) : [];
      const lists =
        name === "workloads" || name === "columns" ? [value] : name === "apply" && isSeq(value) ? value.items : [];
      for (const node of [...inner, ...lists]) if (isMap(node) || isSeq(node)) node.flow = true;
    },
  });
  const text = document.toString({ lineWidth: 0 });
  const warning =
    needs === undefined
      ? "# The AuthorizationPolicies are not simple: meshproof init does not know what they demand. Write what you expect into the last matrix.\n"
      : "# The expectations are what the policies seem to demand. Compare them with what you want.\n";
  return `# yaml-language-server: $schema=${path.relative(folder, around.schema)}\n${warning}${text}`;
}

/** The namespace of the policies is the scenario's; another one that they name is beside it, or has no pod in the scenario. */
function namespacesOf(objects: readonly FoundObject[], own: string): Record<string, string> {
  const others = new Set<string>();
  for (const { object } of objects)
    for (const { field, value } of namedValuesOf(object.spec))
      renameIn(field, value, (namespace) => {
        // A host of two words may be anywhere.
        if (field !== "host" || value.includes(".svc")) others.add(namespace);
        return namespace;
      });
  others.delete(own);
  others.delete(ROOT_NAMESPACE);
  const named = [...others];
  return {
    ...(own === "" ? {} : { [own]: "${ns}" }),
    ...Object.fromEntries(named.map((name) => [name, named.length === 1 ? "${outside.ns}" : "absent"])),
  };
}
