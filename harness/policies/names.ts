/**
 * Names of namespaces in a policy's fields: in namespaces, principals, service accounts and hosts, and nowhere else. A claim or a
 * header may have the same text as a namespace, and means something else.
 */

/** A place in an object: keys and indexes. */
export type Path = readonly (string | number)[];

/** What a field contains. */
export type Field = "namespace" | "principal" | "service-account" | "host" | "address";

/** What becomes of a namespace's name: another one, or undefined where there is none for it. */
export type Rename = (namespace: string) => string | undefined;

/** A name after the change; `unknown` is the part that has no other name, or that cannot be told apart. */
export type Renamed = { readonly name: string } | { readonly unknown: string };

const SOURCES: Readonly<Record<string, Field>> = {
  ...{ namespaces: "namespace", principals: "principal", serviceAccounts: "service-account" },
  ...{ ipBlocks: "address", remoteIpBlocks: "address" },
};

const CONDITIONS: Readonly<Record<string, Field>> = {
  ...{ "source.namespace": "namespace", "source.principal": "principal", "source.serviceAccount": "service-account" },
  ...{ "source.ip": "address", "remote.ip": "address", "destination.ip": "address" },
  ...{ "connection.sni": "host", "request.headers[host]": "host", "request.headers[:authority]": "host" },
};

/** A value of an AuthorizationPolicy that names a namespace or an address. */
export interface NamedValue {
  readonly path: Path;
  readonly field: Field;
  readonly value: string;
}

/** Every value of an AuthorizationPolicy's spec that may name a namespace or an address. Paths begin at the spec. */
export function namedValuesOf(spec: unknown): NamedValue[] {
  return listOf(spec, "rules").flatMap((rule, r) => [
    ...listOf(rule, "from").flatMap((from, f) =>
      Object.entries(SOURCES).flatMap(([key, field]) =>
        [key, not(key)].flatMap((each) =>
          valuesOf(fieldsOf(fieldsOf(from)["source"]), each, field, ["rules", r, "from", f, "source"]),
        ),
      ),
    ),
    ...listOf(rule, "to").flatMap((to, t) =>
      ["hosts", "notHosts"].flatMap((key) =>
        valuesOf(fieldsOf(fieldsOf(to)["operation"]), key, "host", ["rules", r, "to", t, "operation"]),
      ),
    ),
    ...listOf(rule, "when").flatMap((when, w) => {
      const key = fieldsOf(when)["key"];
      const field = typeof key === "string" && Object.hasOwn(CONDITIONS, key) ? CONDITIONS[key]! : undefined;
      if (field === undefined) return [];
      return ["values", "notValues"].flatMap((each) => valuesOf(fieldsOf(when), each, field, ["rules", r, "when", w]));
    }),
  ]);
}

/** A value with the namespace in it renamed. Wildcards stay, except where they cut a namespace's name. */
export function renameIn(field: Field, value: string, rename: Rename): Renamed {
  switch (field) {
    case "namespace":
      if (value === "*") return { name: value };
      return value.includes("*") ? { unknown: value } : given(rename(value), value, (to) => to);
    case "principal": {
      const [, trustDomain = "", namespace, rest = ""] = /^([^/]*)\/ns\/([^/]+)(\/.*)?$/.exec(value) ?? [];
      if (namespace === undefined || namespace === "*") return { name: value };
      return namespace.includes("*")
        ? { unknown: namespace }
        : given(rename(namespace), namespace, (to) => `${trustDomain}/ns/${to}${rest}`);
    }
    case "service-account": {
      const [namespace = "", account] = value.split("/");
      return account === undefined
        ? { name: value }
        : given(rename(namespace), namespace, (to) => `${to}/${value.slice(namespace.length + 1)}`);
    }
    case "host": {
      const [, name = "", namespace = "", service, rest = ""] = HOST.exec(value) ?? [];
      const to = namespace === "" ? undefined : rename(namespace);
      if (to !== undefined) return { name: `${name}.${to}${service ?? ""}${rest}` };
      // Without `.svc` it may be a host outside of the cluster.
      return service === undefined ? { name: value } : { unknown: namespace };
    }
    case "address":
      return { name: value };
  }
}

/** A spec whose names of namespaces are renamed, but for those that have no other name. */
export function withNamespaces<Spec>(spec: Spec, rename: Rename): Spec {
  return namedValuesOf(spec).reduce((made, { path, field, value }) => {
    const renamed = renameIn(field, value, rename);
    return "name" in renamed ? withValue(made, path, renamed.name) : made;
  }, spec);
}

/** A host of the cluster's DNS: `orders.shop`, `*.shop.svc.cluster.local:8080`. */
const HOST = /^(\*|[a-z0-9-]+)\.([a-z0-9-]+)(\.svc(?:\.cluster\.local)?)?(:(?:\d+|\*)|\*)?$/;

/** The trust domain of a principal; undefined where it names none, or every one. */
export function trustDomainIn(value: string): string | undefined {
  const [, domain] = /^([^/*]+)\/(?:ns\/|\*)/.exec(value) ?? [];
  return domain;
}

function given(to: string | undefined, from: string, name: (to: string) => string): Renamed {
  return to === undefined ? { unknown: from } : { name: name(to) };
}

function not(key: string): string {
  return `not${key[0]!.toUpperCase()}${key.slice(1)}`;
}

function valuesOf(fields: Readonly<Record<string, unknown>>, key: string, field: Field, at: Path): NamedValue[] {
  const list = fields[key];
  if (!Array.isArray(list)) return [];
  return (list as unknown[]).flatMap((value, index) =>
    typeof value === "string" ? [{ path: [...at, key, index], field, value }] : [],
  );
}

export function listOf(value: unknown, key: string): readonly unknown[] {
  const list = fieldsOf(value)[key];
  return Array.isArray(list) ? (list as unknown[]) : [];
}

export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** A deep copy with one value replaced. */
export function withValue<T>(object: T, path: Path, value: unknown): T {
  const copy = structuredClone(object);
  let at = copy as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
  at[path.at(-1)!] = value;
  return copy;
}

/** `spec.rules[0].from[0]` */
export function nameField(path: Path): string {
  return path
    .map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`))
    .join("")
    .replace(/^\./, "");
}
