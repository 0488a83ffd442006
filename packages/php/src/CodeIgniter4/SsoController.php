<?php

declare(strict_types=1);

namespace Sso\CodeIgniter4;

use CodeIgniter\Controller;
use CodeIgniter\HTTP\ResponseInterface;

/** The page of the redirect URI. */
final class SsoController extends Controller
{
    public function index(): ResponseInterface
    {
        return Answers::response(service('sso')->answer($_GET, $_POST, Answers::server($this->request)));
    }
}
