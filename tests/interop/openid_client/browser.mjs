// A browser in a few lines of fetch: cookies, redirects within the provider, forms.
export async function readInput() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

export class Browser {
  constructor(issuer, username, password) {
    Object.assign(this, { issuer, username, password, cookies: new Map() });
  }

  // Open an address; stop at an application's or at a page.
  async visit(url, form) {
    for (;;) {
      const response = await fetch(url, {
        method: form ? "POST" : "GET",
        body: form ? new URLSearchParams(form) : undefined,
        headers: { cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
        redirect: "manual",
      });
      for (const cookie of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
        if (/max-age=0/i.test(cookie)) this.cookies.delete(name);
        else this.cookies.set(name, value);
      }
      const location = response.headers.get("location");
      if (!location) return { page: await response.text(), status: response.status };
      const next = new URL(location, url);
      if (next.origin !== new URL(this.issuer).origin) return { url: next };
      [url, form] = [next, undefined];
    }
  }

  // Fill in the first form of a page that is sent without scripts.
  async submit(page, fields) {
    const forms = [...page.matchAll(/<form method="post" action="([^"]*)"[^>]*>([^]*?)<\/form>/g)];
    const [, action, content] = forms.find(([, , inner]) => /<button(?![^>]*type="button")/.test(inner));
    const form = { ...fields };
    for (const [, name, value] of content.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)) form[name] = value;
    return this.visit(new URL(action, this.issuer), form);
  }

  // Sign in and allow where that is asked for; return the address that the application got.
  async authorize(url) {
    let seen = await this.visit(url);
    const asked = !seen.url;
    while (!seen.url) {
      const fields = seen.page.includes('name="password"')
        ? { username: this.username, password: this.password }
        : { choice: "allow" };
      seen = await this.submit(seen.page, fields);
    }
    return { url: seen.url, asked };
  }
}
