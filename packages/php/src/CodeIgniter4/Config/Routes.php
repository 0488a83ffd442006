<?php

declare(strict_types=1);

/** @var CodeIgniter\Router\RouteCollection $routes */
$routes->match(['GET', 'POST'], config('Sso')->path, '\Sso\CodeIgniter4\SsoController::index');
