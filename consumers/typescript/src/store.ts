/** A row's text and how often it was written. */
export interface Stored {
  readonly text: string;
  readonly version: number;
}

/**
 * Where a consumer keeps its rows, one for each movement: two calls, which any database with a conditional write can serve.
 * A call that fails rejects, and the message comes back.
 */
export interface Store {
  /** The last row that was saved, never an older one. */
  load(key: string): Promise<Stored | undefined>;
  /**
   * Puts the row with version `expected` + 1 if its version is `expected`; 0 stands for no row. False, and no change, where
   * it is another one.
   */
  save(key: string, text: string, expected: number): Promise<boolean>;
}

/** For tests, and for a single process whose repeats all come in its lifetime. */
export class MemoryStore implements Store {
  readonly #rows = new Map<string, Stored>();

  async load(key: string): Promise<Stored | undefined> {
    return this.#rows.get(key);
  }

  async save(key: string, text: string, expected: number): Promise<boolean> {
    if ((this.#rows.get(key)?.version ?? 0) !== expected) return false;
    this.#rows.set(key, { text, version: expected + 1 });
    return true;
  }
}
