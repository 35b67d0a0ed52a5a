/**
 * Building blocks of the schemas in this folder: types, checks at load time and JSON Schemas come from the same schema.
 * A schema's `title` is a noun phrase for messages: "path must be <title>, found …".
 */

import * as z from "zod";

/** The type with every property read-only. */
export type Immutable<T> = T extends object ? { readonly [K in keyof T]: Immutable<T[K]> } : T;

export const count = z.int().min(0);
/** Milliseconds. */
export const time = z.number().min(0);
export const texts = z.array(z.string());

/** Text with at least one visible character. */
export const text = (description?: string): z.ZodString =>
  z
    .string()
    .min(1, { abort: true })
    .refine((value) => value.trim() !== "")
    .meta({ ...(description && { description }) });

/** Text that matches a pattern; the title describes the pattern. */
export const form = (title: string, pattern: RegExp, description?: string): z.ZodString =>
  z
    .string()
    .regex(pattern)
    .meta({ title, ...(description && { description }) });

export const name = (description?: string): z.ZodString =>
  form("a name of small letters, digits and hyphens", /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/u, description);

/** A mapping with any keys, such as claims. */
export const anything = (description?: string) =>
  z.record(z.string(), z.unknown()).meta({ ...(description && { description }) });

/** A list without duplicates. */
export const distinct = <T extends z.ZodArray>(list: T): T =>
  list.meta({ uniqueItems: true }).check(({ value, issues }) => {
    for (const [index, item] of value.entries())
      if (value.indexOf(item) < index)
        issues.push({ code: "custom", path: [index], params: { twice: true }, input: item });
  });

/** A mapping that is not empty. */
export const filled = <T extends z.ZodType<object>>(mapping: T): T =>
  mapping.refine((value) => Object.keys(value).length > 0).meta({ minProperties: 1 });

/** The JSON Schema of a file, without keywords that have no effect. */
export function toJsonSchema(schema: z.ZodType, target: "draft-7" | "draft-2020-12"): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(schema, {
    target,
    io: "input",
    override: ({ jsonSchema: json }) => {
      if (json.format === "date-time") delete json.pattern;
      if (Math.abs(json.minimum ?? 0) === Number.MAX_SAFE_INTEGER) delete json.minimum;
      if (Math.abs(json.maximum ?? 0) === Number.MAX_SAFE_INTEGER) delete json.maximum;
      if (JSON.stringify(json.additionalProperties) === "{}") delete json.additionalProperties;
      if (JSON.stringify(json.propertyNames) === '{"type":"string"}') delete json.propertyNames;
    },
  });
  // zod writes an `id` into each definition, which validators do not know.
  const definitions = (rest as { $defs?: Record<string, { id?: string }> }).$defs ?? {};
  for (const definition of Object.values(definitions)) delete definition.id;
  return { $schema, ...rest };
}

/** Prints the JSON Schema of a file that meshproof writes. */
export function printJsonSchema(schema: z.ZodType): string {
  return `${JSON.stringify(toJsonSchema(schema, "draft-2020-12"), undefined, 2)}\n`;
}
