/** What the API server fills into an object before anybody reads it. */

import type { ManifestObject } from "../model/manifest.ts";

interface Schema {
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

/** The object with the defaults of its kind's definition, and with the text of a Secret as data. */
export function withDefaults(object: ManifestObject, crds: readonly ManifestObject[]): ManifestObject {
  if (object.kind === "Secret") return asData(object);
  const [group, version] = object.apiVersion.split("/");
  const definition = crds
    .map(({ spec }) => spec as Definition)
    .find((one) => one.group === group && one.names.kind === object.kind);
  const schema = definition?.versions.find(({ name }) => name === version)?.schema.openAPIV3Schema;
  return schema === undefined ? object : (fill(object, schema) as ManifestObject);
}

interface Definition {
  readonly group: string;
  readonly names: { readonly kind: string };
  readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
}

function fill(value: unknown, schema: Schema): unknown {
  if (Array.isArray(value)) return schema.items === undefined ? value : value.map((one) => fill(one, schema.items!));
  if (typeof value !== "object" || value === null || schema.properties === undefined) return value;
  const filled: Record<string, unknown> = { ...value };
  for (const [name, inner] of Object.entries(schema.properties)) {
    const given = filled[name] ?? inner.default;
    if (given !== undefined) filled[name] = fill(given, inner);
  }
  return filled;
}

function asData({ stringData, ...secret }: ManifestObject): ManifestObject {
  if (stringData === undefined) return secret;
  const made = Object.entries(stringData as Record<string, string>).map(([key, text]) => [
    key,
    Buffer.from(text).toString("base64"),
  ]);
  return { ...secret, data: { ...(secret["data"] as object | undefined), ...Object.fromEntries(made) } };
}
