<?php

declare(strict_types=1);

namespace Sso\Laravel;

use Closure;
use Illuminate\Contracts\Auth\Factory;
use Illuminate\Http\Request;
use SsoClient;
use SsoException;

/** The middlewares `sso` and `sso.role:operator` (or `sso.role:operator,PKM-CPD` for a unit). */
final class RequireLogin
{
    private Factory $auth;
    private SsoClient $client;

    public function __construct(Factory $auth, SsoClient $client)
    {
        $this->auth = $auth;
        $this->client = $client;
    }

    /** @return mixed */
    public function handle(Request $request, Closure $next, ?string $role = null, ?string $unit = null)
    {
        $server = Answers::server($request);
        $claims = $this->client->user();
        if ($claims === null) {
            return Answers::response($this->client->challenge($server));
        }
        try {
            $user = $this->auth->guard('sso')->user();
        } catch (SsoException $error) {
            return Answers::response($this->client->failure($server, $error));
        }
        if ($user === null) {
            $unknown = new SsoException('unknown_user', 'This program has no account for you. Ask its administrator.');
            return Answers::response($this->client->failure($server, $unknown));
        }
        if ($role !== null && !SsoClient::hasRole($claims, $role, $unit)) {
            return Answers::response($this->client->refusal($server, $role));
        }
        $this->auth->shouldUse('sso');
        return $next($request);
    }
}
