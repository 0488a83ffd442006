<?php

declare(strict_types=1);

namespace Sso\Symfony;

use SsoClient;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;

/** The page of the redirect URI. */
final class SsoController
{
    private SsoClient $client;

    public function __construct(SsoClient $client)
    {
        $this->client = $client;
    }

    public function __invoke(Request $request): Response
    {
        return Answers::response($this->client->answer($request->query->all(), $request->request->all(), Answers::server($request)));
    }
}
