<?php

declare(strict_types=1);

namespace Sso\Laravel;

use Illuminate\Http\Request;
use Illuminate\Http\Response;
use SsoClient;

/** The page of the redirect URI. */
final class SsoController
{
    public function __invoke(Request $request, SsoClient $client): Response
    {
        $form = $request->isMethod('POST') ? $request->request->all() : [];
        return Answers::response($client->answer($request->query->all(), $form, Answers::server($request)));
    }
}
