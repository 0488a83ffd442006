"""What all pages and endpoints share: forms, cookies, CSRF tokens, pages, middleware, translations."""
