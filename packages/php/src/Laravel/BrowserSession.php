<?php

declare(strict_types=1);

namespace Sso\Laravel;

use Closure;
use Illuminate\Session\Middleware\StartSession;

/** Starts the session, but for a notice of the provider: that comes from no browser. */
final class BrowserSession extends StartSession
{
    public function handle($request, Closure $next)
    {
        if ($request->isMethod('POST') && $request->request->has('logout_token')) {
            return $next($request);
        }
        return parent::handle($request, $next);
    }
}
