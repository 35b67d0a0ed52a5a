/** The parts of an AuthorizationPolicy's rules, and the field of a request that each compares. Pure. */

import type { Condition } from "../model/explanation.ts";
import type { ManifestObject } from "../model/manifest.ts";

/** Where something is in an object: `["spec", "rules", 0, "to", 0, "operation", "paths"]`. */
export type FieldPath = readonly (string | number)[];

/** All alternatives of one field in one rule: the request needs one of them. */
export interface RulePart {
  readonly rule: number;
  /** The same for alternatives: `to.paths`, `when.source.ip`, `when.not source.ip`. */
  readonly name: string;
  readonly path: FieldPath;
  readonly values: readonly string[];
  /** Whether a condition of the proxy's config is made of it. */
  readonly makes: (condition: Condition) => boolean;
}

interface Rule {
  readonly from?: readonly { readonly source?: Readonly<Record<string, readonly string[]>> }[];
  readonly to?: readonly { readonly operation?: Readonly<Record<string, readonly string[]>> }[];
  readonly when?: readonly {
    readonly key: string;
    readonly values?: readonly string[];
    readonly notValues?: readonly string[];
  }[];
}

export function rulesOf({ spec }: ManifestObject): readonly Rule[] {
  return ((spec ?? {}) as { readonly rules?: readonly (Rule | null)[] }).rules?.map((rule) => rule ?? {}) ?? [];
}

export function partsOf(policy: ManifestObject): RulePart[] {
  return rulesOf(policy).flatMap((rule, index) => {
    const at: FieldPath = ["spec", "rules", index];
    const fields = (
      key: string,
      inner: string,
      list: readonly Readonly<Record<string, Readonly<Record<string, readonly string[]>> | undefined>>[],
    ) =>
      list.flatMap((one, number) =>
        Object.entries(one[inner] ?? {}).map(([name, values]) => ({
          rule: index,
          name: `${key}.${name}`,
          path: [...at, key, number, inner, name],
          values,
          makes: makerOf(
            name.replace(/^not(.)/, (_, first: string) => first.toLowerCase()),
            /^not[A-Z]/.test(name),
          ),
        })),
      );
    return [
      ...fields("from", "source", rule.from ?? []),
      ...fields("to", "operation", rule.to ?? []),
      ...(rule.when ?? []).flatMap(({ key, values, notValues }, number) =>
        (
          [
            [values, false],
            [notValues, true],
          ] as const
        ).flatMap(([list, negated]) =>
          list === undefined
            ? []
            : [
                {
                  rule: index,
                  name: `when.${negated ? "not " : ""}${key}`,
                  path: [...at, "when", number],
                  values: list,
                  makes: makerOf(key, negated),
                },
              ],
        ),
      ),
    ];
  });
}

type Kind = Condition["field"]["kind"];

const KINDS: Readonly<Record<string, Kind>> = {
  principals: "principal",
  namespaces: "principal",
  serviceAccounts: "principal",
  "source.principal": "principal",
  "source.namespace": "principal",
  "source.serviceAccount": "principal",
  ipBlocks: "source-ip",
  "source.ip": "source-ip",
  remoteIpBlocks: "remote-ip",
  "remote.ip": "remote-ip",
  "destination.ip": "destination-ip",
  "destination.port": "port",
  "connection.sni": "sni",
  hosts: "host",
  ports: "port",
  methods: "method",
  paths: "path",
};

const CLAIMS: Readonly<Record<string, readonly string[]>> = {
  requestPrincipals: ["iss", "sub"],
  "request.auth.principal": ["iss", "sub"],
  "request.auth.audiences": ["aud"],
  "request.auth.presenter": ["azp"],
};

function makerOf(name: string, negated: boolean): RulePart["makes"] {
  const [, header] = /^request\.headers\[(.*)\]$/.exec(name) ?? [];
  const [, claim] = /^request\.auth\.claims\[(.*)\]$/.exec(name) ?? [];
  const claims = claim === undefined ? CLAIMS[name] : [claim.replaceAll("][", ".")];
  return ({ field, requires }) => {
    if ((requires.kind === "not" || requires.kind === "absent") !== negated) return false;
    if (field.kind === "claim") return claims?.includes(field.name) === true;
    if (field.kind === "header") return header?.toLowerCase() === field.name;
    return KINDS[name] === field.kind;
  };
}
