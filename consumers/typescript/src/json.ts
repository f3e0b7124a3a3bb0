/** JSON as `JSON.parse` reads it, but with every number that is written as an integer as a bigint: no digit is lost. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
/** Without a prototype: a name of the sender's is a name and nothing else. */
export interface JsonObject {
  readonly [name: string]: Json;
}

/**
 * Reads JSON. Node 20's `JSON.parse` has no access to a number's text (`context.source` came with Node 21).
 *
 * @throws SyntaxError for what is no JSON, RangeError for lists nested some thousand times.
 */
export function readJson(text: string): Json {
  // It checks the text, so that the reader below only takes it apart.
  JSON.parse(text);
  return new Reader(text).value();
}

// Whitespace, then one token: a text, a number, a word or a single character.
const TOKEN = /[ \t\n\r]*("[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|[a-z]+|.)/y;

class Reader {
  #at = 0;

  constructor(readonly text: string) {}

  value(): Json {
    const token = this.#next();
    switch (token[0]) {
      case "{":
        return this.#object();
      case "[":
        return this.#list();
      case '"':
        return JSON.parse(token) as string;
      case "t":
      case "f":
        return token === "true";
      case "n":
        return null;
      default:
        return /^-?\d+$/.test(token) ? BigInt(token) : Number(token);
    }
  }

  #object(): JsonObject {
    const object = Object.create(null) as Record<string, Json>;
    for (let token = this.#next(); token !== "}"; token = this.#next()) {
      const name = token === "," ? this.#next() : token;
      this.#next(); // The colon.
      object[JSON.parse(name) as string] = this.value();
    }
    return object;
  }

  #list(): Json[] {
    const list: Json[] = [];
    for (let at = this.#at; this.#next() !== "]"; at = this.#at) {
      // The first value has no comma before it.
      if (list.length === 0) this.#at = at;
      list.push(this.value());
    }
    return list;
  }

  #next(): string {
    TOKEN.lastIndex = this.#at;
    const token = TOKEN.exec(this.text)?.[1];
    if (token === undefined) throw new SyntaxError("no JSON");
    this.#at = TOKEN.lastIndex;
    return token;
  }
}
