<?php

declare(strict_types=1);

namespace Sso\CodeIgniter4;

use CodeIgniter\Filters\FilterInterface;
use CodeIgniter\HTTP\RequestInterface;
use CodeIgniter\HTTP\ResponseInterface;
use SsoClient;
use SsoException;

/** The filter `sso`, or `sso:operator` for a role, or `sso:operator,PKM-CPD` for a role in a unit. */
final class SsoFilter implements FilterInterface
{
    public function before(RequestInterface $request, $arguments = null)
    {
        $client = service('sso');
        $server = Answers::server($request);
        $claims = $client->user();
        if ($claims === null) {
            return Answers::response($client->challenge($server));
        }
        try {
            $class = config('Sso')->users;
            if ($class !== null && (new $class())->find($claims) === null) {
                throw new SsoException('unknown_user', 'This program has no account for you. Ask its administrator.');
            }
        } catch (SsoException $error) {
            return Answers::response($client->failure($server, $error));
        }
        $role = $arguments[0] ?? null;
        if ($role !== null && !SsoClient::hasRole($claims, $role, $arguments[1] ?? null)) {
            return Answers::response($client->refusal($server, $role));
        }
        return null;
    }

    public function after(RequestInterface $request, ResponseInterface $response, $arguments = null)
    {
        return null;
    }
}
